//! Runs programs that refuse to run as root as the owner of a folder.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Uid, User, chown};

/// The user to run such programs as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemUser {
    uid: u32,
    gid: u32,
}

impl SystemUser {
    /// This process's own user or, if it is root, the user for servers.
    pub(crate) fn for_servers() -> Self {
        let own = std::fs::metadata("/proc/self").unwrap();
        if own.uid() != 0 {
            return Self { uid: own.uid(), gid: own.gid() };
        }
        let known = |name| User::from_name(name).ok().flatten();
        let user = known("postgres").or_else(|| known("nobody")).expect("a user that is not root");
        Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() }
    }

    /// A folder of its own in the system's temporary folder.
    pub(crate) fn folder(self) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("aval-test").tempdir_in("/tmp").unwrap();
        chown(folder.path(), Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid))).unwrap();
        folder
    }

    /// A program to run as this user, in `folder`.
    pub(crate) fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.uid(self.uid).gid(self.gid).current_dir(folder);
        command
    }
}

/// One of PostgreSQL's server programs.
pub(crate) fn postgres_program(name: &str) -> PathBuf {
    let from_variable = std::env::var("AVAL_PG_BIN").map(PathBuf::from);
    let folder = from_variable.unwrap_or_else(|_| {
        let newest = |entry: std::fs::DirEntry| entry.path().join("bin");
        let mut found: Vec<PathBuf> =
            std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(newest).collect();
        found.sort();
        found.pop().unwrap_or_else(|| {
            let printed = Command::new("pg_config").arg("--bindir").output().unwrap();
            PathBuf::from(String::from_utf8(printed.stdout).unwrap().trim())
        })
    });
    folder.join(name)
}
