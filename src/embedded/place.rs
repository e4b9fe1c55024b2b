//! Decides where the private database lives and which system user its processes run as.
//!
//! Normally it lives in `<data_dir>/postgres` and runs as whoever runs Aval. PostgreSQL refuses to run as root, so
//! under root its processes run as the owner of an existing database, else as the user `postgres`, else `nobody`.
//! That user must be able to reach the files, and a clone below `/root` (mode 0700) is out of its reach: the
//! database is then placed in `<fallback_dir>/<id>`, and the id is kept in `<data_dir>/postgres.id`, so that
//! deleting the data directory still means beginning anew and moving it still means keeping the data.
//!
//! Nobody else gets in: PostgreSQL listens on no network address, and its Unix socket stands in a directory of mode
//! 0700 that belongs to the user of its processes, normally the database's own directory, whose mode PostgreSQL
//! checks itself at each start.
//!
//! Everything that root writes below a directory of another user is made anew and never through a link, because
//! that user could have put one there.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown, lchown,
};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use sha2::{Digest as _, Sha256};

use super::EmbeddedSettings;
use crate::clock::Clock;
use crate::error::{Error, Result};

/// The longest socket path that every supported system takes: `sun_path` has 104 bytes on macOS and 108 on Linux,
/// the last of which is a zero.
const LONGEST_SOCKET_PATH: usize = 103;

/// The name that PostgreSQL gives its socket.
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// The users that processes are given to under root, the preferred first.
const UNPRIVILEGED_USERS: [&str; 2] = ["postgres", "nobody"];

/// Holds the id of a database that lives elsewhere.
const ID_FILE: &str = "postgres.id";

/// A system user by number, for a process to run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServerUser {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The decided places, held by a lock for as long as this value lives.
#[derive(Debug)]
pub(super) struct DataDirectory {
    /// The directory that holds `cluster` and `log_file`.
    pub(super) home: PathBuf,
    /// PostgreSQL's data directory.
    pub(super) cluster: PathBuf,
    /// What PostgreSQL prints.
    pub(super) log_file: PathBuf,
    /// The directory of its socket.
    pub(super) socket_dir: PathBuf,
    /// Whom its processes run as; `None` is Aval's own user.
    pub(super) server_user: Option<ServerUser>,
    _locks: Vec<File>,
}

impl DataDirectory {
    /// Prepares the directories and locks them against another Aval.
    ///
    /// # Errors
    /// [`Error::Configuration`] when another Aval holds the data directory, when it belongs to somebody else, or
    /// when it cannot be made.
    pub(super) fn prepare(settings: &EmbeddedSettings) -> Result<Self> {
        let is_root = Uid::effective().is_root();
        let own_mode = if is_root { 0o711 } else { 0o700 };
        make_dir(&settings.data_dir, own_mode)?;
        let data_dir = fs::canonicalize(&settings.data_dir).map_err(|e| unusable(&settings.data_dir, &e))?;
        let mut locks = vec![lock(&data_dir)?];

        let home = choose_home(&data_dir, settings, is_root)?;
        if home != data_dir {
            make_dir(&home, own_mode)?;
            locks.push(lock(&home)?);
        }
        let cluster = home.join("postgres");
        let server_user = choose_server_user(&cluster, is_root)?;
        if let Some(user) = server_user {
            make_reachable(&home, user)?;
        }
        let socket_dir = choose_socket_dir(&cluster, server_user)?;
        Ok(Self {
            log_file: home.join("postgres.log"),
            home,
            cluster,
            socket_dir,
            server_user,
            _locks: locks,
        })
    }

    /// Makes a directory below `home` that belongs to the user of PostgreSQL's processes, mode 0700.
    pub(super) fn make_server_dir(&self, path: &Path) -> Result<()> {
        make_owned_dir(path, self.server_user).map_err(|e| unusable(path, &e))
    }

    /// Writes a file of PostgreSQL's, replacing the one before it whole.
    pub(super) fn write_server_file(&self, path: &Path, text: &str) -> Result<()> {
        let fresh = path.with_extension("aval-new");
        let write = || -> std::io::Result<()> {
            remove_if_there(&fresh)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            if let Some(user) = self.server_user {
                fchown(&file, Some(user.uid), Some(user.gid))?;
            }
            fs::rename(&fresh, path)
        };
        write().map_err(|e| unusable(path, &e))
    }
}

/// Removes a file; it is fine when there is none.
pub(super) fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A directory or file that cannot be used, told to the operator.
pub(super) fn unusable(path: &Path, error: &std::io::Error) -> Error {
    Error::configuration(format!("cannot use {}: {error}", path.display()))
}

/// Where the database of a data directory is that was prepared before; `None` when there is no such directory.
///
/// # Errors
/// [`Error::Configuration`] when what says so cannot be read.
pub(super) fn known_cluster(settings: &EmbeddedSettings) -> Result<Option<PathBuf>> {
    let Ok(data_dir) = fs::canonicalize(&settings.data_dir) else { return Ok(None) };
    let home = match recorded_home(&data_dir, settings)? {
        Some(home) => home,
        None => data_dir,
    };
    Ok(Some(home.join("postgres")))
}

/// Makes `path` and its parents when they are missing.
fn make_dir(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|e| unusable(path, &e))
}

/// Takes the lock that keeps a second Aval out. The kernel gives it back when the process ends, however it ends.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("aval.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|e| unusable(&path, &e))?;
    match file.try_lock() {
        Ok(()) => {
            let pid = std::process::id().to_string();
            file.set_len(0).and_then(|()| file.write_all(pid.as_bytes())).map_err(|e| unusable(&path, &e))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(|e| unusable(&path, &e))?;
            Err(Error::configuration(format!(
                "another Aval (process {holder}) uses the data directory {}; stop it, or give this one a data \
                 directory of its own",
                dir.display()
            )))
        }
        Err(TryLockError::Error(error)) => Err(unusable(&path, &error)),
    }
}

/// The directory that holds the database: `data_dir`, unless root's unprivileged user cannot reach it.
fn choose_home(data_dir: &Path, settings: &EmbeddedSettings, is_root: bool) -> Result<PathBuf> {
    if let Some(home) = recorded_home(data_dir, settings)? {
        return Ok(home);
    }
    let parent = data_dir.parent().unwrap_or(data_dir);
    if !is_root || data_dir.join("postgres").exists() || closed_to(parent, unprivileged_user()?).is_none() {
        return Ok(data_dir.to_path_buf());
    }
    let id = Clock::system().new_uuid().simple().to_string();
    let id_file = data_dir.join(ID_FILE);
    fs::write(&id_file, &id).map_err(|e| unusable(&id_file, &e))?;
    Ok(settings.fallback_dir.join(id))
}

/// The directory elsewhere that was chosen before, if one was.
fn recorded_home(data_dir: &Path, settings: &EmbeddedSettings) -> Result<Option<PathBuf>> {
    let id_file = data_dir.join(ID_FILE);
    let Ok(id) = fs::read_to_string(&id_file) else { return Ok(None) };
    // The id becomes part of a path that root works in: anything but an id must not lead it elsewhere.
    let id = uuid::Uuid::parse_str(id.trim()).map_err(|e| {
        Error::configuration(format!("{} does not hold a database's id: {e}", id_file.display()))
    })?;
    Ok(Some(settings.fallback_dir.join(id.simple().to_string())))
}

/// Whom the server runs as. An existing database is served as its owner, so that a data directory made by an
/// ordinary user can also be run by root, and the other way round is refused with a clear word.
fn choose_server_user(cluster: &Path, is_root: bool) -> Result<Option<ServerUser>> {
    let owner = match fs::symlink_metadata(cluster) {
        Ok(found) => Some(ServerUser { uid: found.uid(), gid: found.gid() }),
        Err(_) => None,
    };
    match (is_root, owner) {
        (true, Some(owner)) if owner.uid == 0 => Err(Error::configuration(format!(
            "{} belongs to root, and PostgreSQL refuses to run as root; give it to another user (chown -R)",
            cluster.display()
        ))),
        (true, Some(owner)) => Ok(Some(owner)),
        (true, None) => unprivileged_user().map(Some),
        (false, Some(owner)) if owner.uid != Uid::effective().as_raw() => Err(Error::configuration(format!(
            "{} belongs to another user (uid {}); run Aval as that user or as root, or give it a data directory of \
             its own",
            cluster.display(),
            owner.uid
        ))),
        (false, _) => Ok(None),
    }
}

fn unprivileged_user() -> Result<ServerUser> {
    UNPRIVILEGED_USERS
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| ServerUser { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
        .ok_or_else(|| {
            Error::configuration(
                "PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as; run Aval as \
                 an ordinary user",
            )
        })
}

/// Lets `user` pass through `home`, which is Aval's own (its secrets are files of mode 0600).
fn make_reachable(home: &Path, user: ServerUser) -> Result<()> {
    let mode = fs::metadata(home).map_err(|e| unusable(home, &e))?.mode();
    if !may_enter(home, user) {
        let opened = Permissions::from_mode((mode & 0o7777) | 0o011);
        fs::set_permissions(home, opened).map_err(|e| unusable(home, &e))?;
    }
    match closed_to(home, user) {
        None => Ok(()),
        Some(closed) => Err(Error::configuration(format!(
            "PostgreSQL's processes (uid {}) cannot pass through {} to reach the database in {}; allow it with \
             chmod o+x {}, or move the data directory",
            user.uid,
            closed.display(),
            home.display(),
            closed.display()
        ))),
    }
}

/// The first directory on the way to `path`, itself included, that `user` may not pass through.
pub(super) fn closed_to(path: &Path, user: ServerUser) -> Option<PathBuf> {
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    way.into_iter().find(|dir| !may_enter(dir, user)).map(Path::to_path_buf)
}

/// Whether the mode of `dir` lets `user` pass. Access control lists are not read: where they say more than the
/// mode, PostgreSQL's own error will tell.
fn may_enter(dir: &Path, user: ServerUser) -> bool {
    let Ok(found) = fs::metadata(dir) else { return false };
    let needed = match (found.uid() == user.uid, found.gid() == user.gid) {
        (true, _) => 0o100,
        (false, true) => 0o010,
        (false, false) => 0o001,
    };
    found.mode() & needed != 0
}

/// The directory for the socket: the database's own, or, where that path is too long or has characters that
/// connection strings give a meaning to, one below the temporary directory, the same at each start.
fn choose_socket_dir(cluster: &Path, user: Option<ServerUser>) -> Result<PathBuf> {
    if fit_for_socket(cluster) {
        return Ok(cluster.to_path_buf());
    }
    let digest = Sha256::digest(cluster.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let dir = [std::env::temp_dir(), PathBuf::from("/tmp")]
        .into_iter()
        .map(|temp| temp.join(format!("aval-{name}")))
        .find(|dir| {
            fit_for_socket(dir)
                && user.is_none_or(|user| dir.parent().is_some_and(|temp| closed_to(temp, user).is_none()))
        })
        .unwrap_or_else(|| Path::new("/tmp").join(format!("aval-{name}")));
    match make_owned_dir(&dir, user) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(unusable(&dir, &error));
        }
        _ => {}
    }
    // The temporary directory is everybody's: what stands there may be another user's trap.
    let found = fs::symlink_metadata(&dir).map_err(|e| unusable(&dir, &e))?;
    let owner = user.map_or_else(|| Uid::effective().as_raw(), |user| user.uid);
    if !found.is_dir() || found.uid() != owner || found.mode() & 0o077 != 0 {
        return Err(Error::configuration(format!(
            "{} is not a directory of mode 0700 of uid {owner}, as PostgreSQL's socket needs it; remove it",
            dir.display()
        )));
    }
    Ok(dir)
}

/// Whether a socket in `dir` has a path that is short enough and means itself in a configuration file, a connection
/// URL and a shell.
fn fit_for_socket(dir: &Path) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    let bytes = dir.as_os_str().as_encoded_bytes();
    bytes.len() + 1 + SOCKET_NAME.len() <= LONGEST_SOCKET_PATH && bytes.iter().all(plain)
}

fn make_owned_dir(path: &Path, user: Option<ServerUser>) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    match user {
        Some(user) => lchown(path, Some(user.uid), Some(user.gid)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_that_is_long_or_has_a_meaning_elsewhere_is_not_used() {
        assert!(fit_for_socket(Path::new("/srv/aval-2/.aval/postgres")));
        assert!(fit_for_socket(&Path::new("/").join("d".repeat(88))));
        assert!(!fit_for_socket(&Path::new("/").join("d".repeat(89))));
        for odd in ["/srv/a b", "/srv/a,b", "/srv/a&b", "/srv/a'b", "/srv/a%2Fb", "/srv/año", "/srv/a@b"] {
            assert!(!fit_for_socket(Path::new(odd)), "{odd}");
        }
    }

    #[test]
    fn the_first_closed_directory_on_the_way_is_named() {
        let stranger = ServerUser { uid: 12_345, gid: 12_345 };
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let closed = root.path().join("closed");
        let inside = closed.join("inside");
        fs::create_dir_all(&inside).unwrap();
        fs::set_permissions(&inside, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        assert_eq!(closed_to(&inside, stranger), Some(closed.clone()));
        fs::set_permissions(&closed, Permissions::from_mode(0o711)).unwrap();
        assert_eq!(closed_to(&inside, stranger), None);
    }

    #[test]
    fn an_id_file_that_holds_a_path_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("postgres.id"), "../../etc").unwrap();
        let settings = EmbeddedSettings::new(dir.path());
        let error = choose_home(dir.path(), &settings, true).unwrap_err();
        assert!(error.to_string().contains("postgres.id"), "{error}");
    }
}
