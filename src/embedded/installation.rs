//! Finds the PostgreSQL server programs on this machine.
//!
//! `initdb` and `postgres` must come from the same release, and for an existing cluster they must have its major
//! version: PostgreSQL cannot read the files of another major version. Debian installs the server programs outside `PATH`,
//! in one directory per major version, and administrators link individual programs into `PATH`. Therefore, if a program is
//! a link, the other program is looked for in the directory that the link points to.

use std::path::{Path, PathBuf};

use super::program::clean_command;
use crate::error::{Error, Result};

/// The oldest major version that Aval supports (docs/specification.md, section 10).
const OLDEST_MAJOR: u32 = 14;

/// How to install the programs. Part of the errors about missing programs.
const HINT: &str = "install them (Debian and Ubuntu: apt-get install postgresql; Fedora: dnf install \
                    postgresql-server; macOS: brew install postgresql), set AVAL_PG_BIN to the directory that \
                    contains them, or set DATABASE_URL to a running server";

/// Where packages install server programs outside `PATH`: a parent directory, and the prefix of directory names that
/// end in the major version. The programs are in their `bin` directory.
const VERSIONED_DIRS: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
];

/// A set of PostgreSQL server programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installation {
    /// The directory of `initdb` and `postgres`.
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

/// Finds the programs in `bin_dir` if configured; otherwise the first suitable ones in `PATH`, in the directories of
/// packages (newest first) and in `pg_config --bindir`. `existing_major` is the major version of an existing cluster.
///
/// # Errors
/// [`Error::Configuration`] with installation instructions if no suitable programs are found.
pub(super) async fn find(bin_dir: Option<&Path>, existing_major: Option<u32>) -> Result<Installation> {
    let dirs = match bin_dir {
        Some(dir) => vec![dir.to_path_buf()],
        None => candidate_dirs().await,
    };
    let mut found = Vec::new();
    for dir in dirs {
        if let Some(installation) = inspect(&dir).await
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
            "no PostgreSQL server programs (initdb and postgres of the same release) {place}: {HINT}"
        )));
    }
    let majors = found.iter().map(|one| one.major.to_string()).collect::<Vec<_>>().join(", ");
    match existing {
        Some(major) => found.iter().find(|one| one.major == major).cloned().ok_or_else(|| {
            Error::configuration(format!(
                "the database was created by PostgreSQL {major}, but only version {majors} is installed, which cannot read \
                 its files: install version {major} beside it (Debian and Ubuntu: apt-get install postgresql-{major}). To \
                 upgrade, run `aval backup` then, and `aval restore` with the new version into an empty data directory \
                 (docs/backup.md)"
            ))
        }),
        None => found.iter().find(|one| one.major >= OLDEST_MAJOR).cloned().ok_or_else(|| {
            Error::configuration(format!(
                "the installed PostgreSQL is too old (version {majors}; Aval needs {OLDEST_MAJOR} or newer): {HINT}"
            ))
        }),
    }
}

/// Directories that may contain the programs, in order of preference.
async fn candidate_dirs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, prefix) in VERSIONED_DIRS {
        dirs.extend(versioned_bin_dirs(Path::new(parent), prefix));
    }
    if let Some(output) = output_of(Path::new("pg_config"), "--bindir").await {
        dirs.push(PathBuf::from(output.trim()));
    }
    dirs
}

/// `parent/<prefix><major>/bin`, the highest major first.
fn versioned_bin_dirs(parent: &Path, prefix: &str) -> Vec<PathBuf> {
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
    versions.into_iter().map(|(_, dir)| dir).collect()
}

/// The installation in `dir`, or in the target directory if its `postgres` is a link. `None` if there is no `initdb`
/// of the same release.
async fn inspect(dir: &Path) -> Option<Installation> {
    let linked = std::fs::canonicalize(dir.join("postgres")).ok()?;
    let real = linked.parent()?.to_path_buf();
    for bin_dir in [real, dir.to_path_buf()] {
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

/// Extracts `15.18` from `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn release(version_line: &str) -> Option<&str> {
    version_line.split_once("(PostgreSQL)")?.1.split_whitespace().next()
}

/// Extracts `15` from `15.18`, and `17` from `17beta1`.
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
    fn versions_of_packaged_plain_and_beta_releases_are_parsed() {
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
    fn an_existing_cluster_uses_its_own_version_and_a_new_one_the_first_supported() {
        let found = [installation(13), installation(17), installation(15)];
        assert_eq!(choose(&found, None, Some(15)).unwrap().major, 15);
        assert_eq!(choose(&found, None, None).unwrap().major, 17);
    }

    #[test]
    fn an_error_about_another_major_version_names_the_way_to_upgrade() {
        let error = choose(&[installation(18), installation(17)], None, Some(15)).unwrap_err().to_string();
        for part in ["PostgreSQL 15", "18, 17", "postgresql-15", "aval backup", "aval restore"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn an_error_reports_that_the_installed_release_is_too_old() {
        let error = choose(&[installation(13)], None, None).unwrap_err().to_string();
        assert!(error.contains("too old (version 13"), "{error}");
        assert!(error.contains("apt-get install postgresql"), "{error}");
    }

    #[test]
    fn packaged_versions_are_ordered_numerically_newest_first() {
        let root = tempfile::tempdir().unwrap();
        for name in ["9", "14", "16", "common"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        let names: Vec<_> = versioned_bin_dirs(root.path(), "")
            .iter()
            .map(|dir| dir.strip_prefix(root.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["16/bin", "14/bin", "9/bin"]);
    }
}
