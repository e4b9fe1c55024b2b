//! Chooses the directory of the cluster and the system user of its server.
//!
//! Normally the cluster is in `<data_dir>/postgres`, and the server runs as Aval's own user. PostgreSQL refuses to run
//! as root. As root, the server therefore runs as the owner of the existing cluster, or else as `postgres` or `nobody`.
//! That user must have access to the files. If it has no access to the data directory, for example because the directory is
//! below `/root` (mode 0700), the cluster is in `<fallback_dir>/<id>`. The id is in `<data_dir>/postgres.id`. Therefore
//! deleting the data directory still leads to a new database, and moving it keeps the data.
//!
//! Other users have no access: PostgreSQL listens on no network address, and its Unix socket is in a directory of mode
//! 0700 that belongs to the server's user. Normally that is the cluster itself, whose mode PostgreSQL checks at each
//! start.
//!
//! As root, Aval never writes to an existing file in another user's directory and never follows a link there: it always
//! creates a new file. Otherwise that user could make root write to any file.

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

/// Longest socket path that every supported system accepts: `sun_path` has 104 bytes on macOS and 108 on Linux,
/// including the terminating zero.
const LONGEST_SOCKET_PATH: usize = 103;

/// PostgreSQL's name for its socket.
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// Users that the server can run as if Aval runs as root, in order of preference.
const UNPRIVILEGED_USERS: [&str; 2] = ["postgres", "nobody"];

/// Contains the id of a cluster in the fallback directory.
const ID_FILE: &str = "postgres.id";

/// The system user of PostgreSQL's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServerUser {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The chosen directories, locked for the lifetime of this value.
#[derive(Debug)]
pub(super) struct DataDirectory {
    /// The directory of `cluster` and `log_file`.
    pub(super) home: PathBuf,
    /// PostgreSQL's data directory.
    pub(super) cluster: PathBuf,
    /// The server's output.
    pub(super) log_file: PathBuf,
    /// The directory of the server's socket.
    pub(super) socket_dir: PathBuf,
    /// The server's user; `None` means Aval's own user.
    pub(super) server_user: Option<ServerUser>,
    _locks: Vec<File>,
}

impl DataDirectory {
    /// Creates the directories and locks them against other Aval processes.
    ///
    /// # Errors
    /// [`Error::Configuration`] if another process holds the lock, or if a directory belongs to another user or cannot
    /// be created.
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

    /// Creates a directory below `home` with mode 0700 that belongs to the server's user.
    pub(super) fn make_server_dir(&self, path: &Path) -> Result<()> {
        make_owned_dir(path, self.server_user).map_err(|e| unusable(path, &e))
    }

    /// Writes a file for the server, replacing an existing one atomically.
    pub(super) fn write_server_file(&self, path: &Path, text: &str) -> Result<()> {
        let temporary = path.with_extension("aval-new");
        let write = || -> std::io::Result<()> {
            remove_if_there(&temporary)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            if let Some(user) = self.server_user {
                fchown(&file, Some(user.uid), Some(user.gid))?;
            }
            fs::rename(&temporary, path)
        };
        write().map_err(|e| unusable(path, &e))
    }
}

/// Removes a file if it exists.
pub(super) fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn unusable(path: &Path, error: &std::io::Error) -> Error {
    Error::configuration(format!("cannot use {}: {error}", path.display()))
}

/// The cluster of an existing data directory; `None` if the directory does not exist.
///
/// # Errors
/// [`Error::Configuration`] if the id of a cluster in the fallback directory is not valid.
pub(super) fn known_cluster(settings: &EmbeddedSettings) -> Result<Option<PathBuf>> {
    let Ok(data_dir) = fs::canonicalize(&settings.data_dir) else { return Ok(None) };
    let home = match recorded_home(&data_dir, settings)? {
        Some(home) => home,
        None => data_dir,
    };
    Ok(Some(home.join("postgres")))
}

fn make_dir(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|e| unusable(path, &e))
}

/// Takes the lock that excludes other Aval processes. The kernel releases it when the process ends.
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
                "another Aval (process {holder}) uses the data directory {}: stop it, or use another data directory",
                dir.display()
            )))
        }
        Err(TryLockError::Error(error)) => Err(unusable(&path, &error)),
    }
}

/// The directory of the cluster: `data_dir`, unless Aval runs as root and the server's user has no access to it.
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

/// The recorded directory in the fallback directory, if any.
fn recorded_home(data_dir: &Path, settings: &EmbeddedSettings) -> Result<Option<PathBuf>> {
    let id_file = data_dir.join(ID_FILE);
    let Ok(id) = fs::read_to_string(&id_file) else { return Ok(None) };
    // Root creates files in this path: an id that is not a UUID could lead anywhere.
    let id = uuid::Uuid::parse_str(id.trim()).map_err(|e| {
        Error::configuration(format!("{} does not contain a valid id: {e}", id_file.display()))
    })?;
    Ok(Some(settings.fallback_dir.join(id.simple().to_string())))
}

/// The user that the server runs as. An existing cluster's server runs as the cluster's owner, which lets root run a
/// cluster that an ordinary user created. The reverse is an error.
fn choose_server_user(cluster: &Path, is_root: bool) -> Result<Option<ServerUser>> {
    let owner = match fs::symlink_metadata(cluster) {
        Ok(found) => Some(ServerUser { uid: found.uid(), gid: found.gid() }),
        Err(_) => None,
    };
    match (is_root, owner) {
        (true, Some(owner)) if owner.uid == 0 => Err(Error::configuration(format!(
            "{} belongs to root, and PostgreSQL refuses to run as root: change the owner (chown -R)",
            cluster.display()
        ))),
        (true, Some(owner)) => Ok(Some(owner)),
        (true, None) => unprivileged_user().map(Some),
        (false, Some(owner)) if owner.uid != Uid::effective().as_raw() => Err(Error::configuration(format!(
            "{} belongs to another user (uid {}): run Aval as that user or as root, or use another data directory",
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
                "PostgreSQL refuses to run as root, and neither the user postgres nor nobody exists: run Aval as an ordinary user",
            )
        })
}

/// Lets `user` pass through `home`. Aval's secrets in `home` stay protected, because their files have mode 0600.
fn make_reachable(home: &Path, user: ServerUser) -> Result<()> {
    let mode = fs::metadata(home).map_err(|e| unusable(home, &e))?.mode();
    if !may_enter(home, user) {
        let opened = Permissions::from_mode((mode & 0o7777) | 0o011);
        fs::set_permissions(home, opened).map_err(|e| unusable(home, &e))?;
    }
    match closed_to(home, user) {
        None => Ok(()),
        Some(closed) => Err(Error::configuration(format!(
            "the PostgreSQL user (uid {}) has no access to {}, which it needs to reach the database in {}: run chmod o+x \
             {}, or move the data directory",
            user.uid,
            closed.display(),
            home.display(),
            closed.display()
        ))),
    }
}

/// The first directory on the path to `path`, including `path`, that `user` cannot pass through.
pub(super) fn closed_to(path: &Path, user: ServerUser) -> Option<PathBuf> {
    let mut ancestors: Vec<&Path> = path.ancestors().collect();
    ancestors.reverse();
    ancestors.into_iter().find(|dir| !may_enter(dir, user)).map(Path::to_path_buf)
}

/// Whether the mode of `dir` lets `user` pass. Access control lists are ignored: if they deny more than the mode,
/// PostgreSQL reports the error.
fn may_enter(dir: &Path, user: ServerUser) -> bool {
    let Ok(found) = fs::metadata(dir) else { return false };
    let needed = match (found.uid() == user.uid, found.gid() == user.gid) {
        (true, _) => 0o100,
        (false, true) => 0o010,
        (false, false) => 0o001,
    };
    found.mode() & needed != 0
}

/// The socket directory: the cluster, or a fixed directory below the temporary directory if the cluster's path is too
/// long or has characters with a special meaning in connection strings.
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
    // Anyone can create files in the temporary directory, so another user may have created this one.
    let found = fs::symlink_metadata(&dir).map_err(|e| unusable(&dir, &e))?;
    let owner = user.map_or_else(|| Uid::effective().as_raw(), |user| user.uid);
    if !found.is_dir() || found.uid() != owner || found.mode() & 0o077 != 0 {
        return Err(Error::configuration(format!(
            "{} must be a directory with mode 0700 that belongs to uid {owner}, for PostgreSQL's socket: remove it",
            dir.display()
        )));
    }
    Ok(dir)
}

/// Whether a socket in `dir` has a path that is short enough and needs no escaping in a configuration file, a
/// connection URL and a shell.
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
    fn long_socket_paths_and_paths_with_special_characters_are_not_used() {
        assert!(fit_for_socket(Path::new("/srv/aval-2/.aval/postgres")));
        assert!(fit_for_socket(&Path::new("/").join("d".repeat(88))));
        assert!(!fit_for_socket(&Path::new("/").join("d".repeat(89))));
        for odd in ["/srv/a b", "/srv/a,b", "/srv/a&b", "/srv/a'b", "/srv/a%2Fb", "/srv/año", "/srv/a@b"] {
            assert!(!fit_for_socket(Path::new(odd)), "{odd}");
        }
    }

    #[test]
    fn the_first_inaccessible_directory_on_the_path_is_reported() {
        let other_user = ServerUser { uid: 12_345, gid: 12_345 };
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let closed = root.path().join("closed");
        let inside = closed.join("inside");
        fs::create_dir_all(&inside).unwrap();
        fs::set_permissions(&inside, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        assert_eq!(closed_to(&inside, other_user), Some(closed.clone()));
        fs::set_permissions(&closed, Permissions::from_mode(0o711)).unwrap();
        assert_eq!(closed_to(&inside, other_user), None);
    }

    #[test]
    fn an_id_file_that_contains_a_path_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("postgres.id"), "../../etc").unwrap();
        let settings = EmbeddedSettings::new(dir.path());
        let error = choose_home(dir.path(), &settings, true).unwrap_err();
        assert!(error.to_string().contains("postgres.id"), "{error}");
    }
}
