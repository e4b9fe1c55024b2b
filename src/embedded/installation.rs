//! Finds the PostgreSQL server programs on this machine.
//!
//! `initdb` and `postgres` must be of one and the same release, and for a database that exists already they must
//! be of the major version that made it: PostgreSQL never reads another major version's files. Debian keeps its
//! server programs out of `PATH`, in one folder for each major version, and people put symbolic links to single
//! programs into `PATH`; so a link is followed to the folder that it comes from before its neighbour is looked for.

use std::path::{Path, PathBuf};

use super::cluster::clean_command;
use crate::error::{Error, Result};

/// The oldest major version that Aval's schema runs on (docs/specification.md 10).
const OLDEST_MAJOR: u32 = 14;

/// How to get the programs; part of every error that misses them.
const HINT: &str = "install them (Debian and Ubuntu: apt-get install postgresql; Fedora: dnf install \
                    postgresql-server; macOS: brew install postgresql), or name the folder that holds them in \
                    AVAL_PG_BIN, or set DATABASE_URL to a server that runs already";

/// Where packages put server programs that are not in `PATH`: a folder, and the start of the names in it that end
/// in a major version; the programs are in `bin` below.
const VERSIONED_FOLDERS: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
];

/// One set of PostgreSQL server programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installation {
    /// The folder that holds `initdb` and `postgres`.
    pub(super) bin_dir: PathBuf,
    /// The major version, such as 15.
    pub(super) major: u32,
}

impl Installation {
    /// The path of one of its programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// Finds the programs to run: those in `bin_dir` when the operator named one, otherwise the first suitable ones of
/// `PATH`, the packages' own folders (newest first) and `pg_config --bindir`. `existing_major` is the major version
/// of the database that is there already.
///
/// # Errors
/// [`Error::Configuration`], with what to install, when there are no suitable ones.
pub(super) async fn find(bin_dir: Option<&Path>, existing_major: Option<u32>) -> Result<Installation> {
    let folders = match bin_dir {
        Some(dir) => vec![dir.to_path_buf()],
        None => candidate_folders().await,
    };
    let mut found = Vec::new();
    for folder in folders {
        if let Some(installation) = inspect(&folder).await
            && !found.contains(&installation)
        {
            found.push(installation);
        }
    }
    choose(&found, bin_dir, existing_major)
}

fn choose(found: &[Installation], bin_dir: Option<&Path>, existing: Option<u32>) -> Result<Installation> {
    if found.is_empty() {
        let place =
            bin_dir.map_or_else(|| "on this machine".to_owned(), |dir| format!("in {}", dir.display()));
        return Err(Error::configuration(format!(
            "no PostgreSQL server programs (initdb and postgres of one release) {place}; {HINT}"
        )));
    }
    let majors = found.iter().map(|one| one.major.to_string()).collect::<Vec<_>>().join(", ");
    match existing {
        Some(major) => found.iter().find(|one| one.major == major).cloned().ok_or_else(|| {
            Error::configuration(format!(
                "the database was made by PostgreSQL {major}, but the programs found are of version {majors}; \
                 install version {major} (Debian and Ubuntu: apt-get install postgresql-{major}), or move the data \
                 with that version's pg_dump, or begin again with an empty data directory"
            ))
        }),
        None => found.iter().find(|one| one.major >= OLDEST_MAJOR).cloned().ok_or_else(|| {
            Error::configuration(format!(
                "the PostgreSQL found is too old (version {majors}; Aval needs {OLDEST_MAJOR} or newer); {HINT}"
            ))
        }),
    }
}

/// The folders worth looking into, the best first.
async fn candidate_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, prefix) in VERSIONED_FOLDERS {
        folders.extend(versioned_bin_folders(Path::new(parent), prefix));
    }
    if let Some(answer) = output_of(Path::new("pg_config"), "--bindir").await {
        folders.push(PathBuf::from(answer.trim()));
    }
    folders
}

/// `parent/<prefix><major>/bin`, the highest major first.
fn versioned_bin_folders(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let major = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// The installation in `folder`, or in the folder that its `postgres` is a link into; `None` when `initdb` is not
/// beside it or is of another release.
async fn inspect(folder: &Path) -> Option<Installation> {
    let linked = std::fs::canonicalize(folder.join("postgres")).ok()?;
    let real = linked.parent()?.to_path_buf();
    for bin_dir in [real, folder.to_path_buf()] {
        let initdb = output_of(&bin_dir.join("initdb"), "--version").await;
        let postgres = output_of(&bin_dir.join("postgres"), "--version").await;
        if let (Some(initdb), Some(postgres)) = (initdb, postgres)
            && let (Some(initdb), Some(postgres)) = (release(&initdb), release(&postgres))
            && initdb == postgres
        {
            return Some(Installation { bin_dir, major: major(postgres)? });
        }
    }
    None
}

async fn output_of(program: &Path, argument: &str) -> Option<String> {
    let output = clean_command(program).arg(argument).output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `15.18` of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn release(version_line: &str) -> Option<&str> {
    version_line.split_once("(PostgreSQL)")?.1.split_whitespace().next()
}

/// `15` of `15.18`, `17` of `17beta1`.
pub(super) fn major(release: &str) -> Option<u32> {
    release.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(major: u32) -> Installation {
        Installation { bin_dir: PathBuf::from(format!("/pg/{major}/bin")), major }
    }

    #[test]
    fn the_version_is_read_from_packaged_plain_and_beta_releases() {
        for (line, expected) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("initdb (PostgreSQL) 14.0", Some(14)),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("postgres (PostgreSQL) devel", None),
            ("bash: postgres: command not found", None),
        ] {
            assert_eq!(release(line).and_then(major), expected, "{line}");
        }
    }

    #[test]
    fn an_existing_database_gets_the_version_that_made_it_and_a_new_one_the_first_that_is_new_enough() {
        let found = [installation(13), installation(17), installation(15)];
        assert_eq!(choose(&found, None, Some(15)).unwrap().major, 15);
        assert_eq!(choose(&found, None, None).unwrap().major, 17);
    }

    #[test]
    fn a_machine_with_only_an_old_release_is_told_so() {
        let error = choose(&[installation(13)], None, None).unwrap_err().to_string();
        assert!(error.contains("too old (version 13"), "{error}");
        assert!(error.contains("apt-get install postgresql"), "{error}");
    }

    #[test]
    fn the_newest_packaged_version_comes_first_by_number_not_by_letter() {
        let root = tempfile::tempdir().unwrap();
        for name in ["9", "14", "16", "common"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        let names: Vec<_> = versioned_bin_folders(root.path(), "")
            .iter()
            .map(|folder| folder.strip_prefix(root.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["16/bin", "14/bin", "9/bin"]);
    }
}
