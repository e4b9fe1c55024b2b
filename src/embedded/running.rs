//! Describes the private PostgreSQL without starting it: its directory, its version, and the URL for connections while
//! another process keeps it running.
//!
//! All functions fail with [`Error::Configuration`](crate::error::Error::Configuration) if the data directory is not
//! readable or does not contain a valid cluster.

use std::path::{Path, PathBuf};

use super::postmaster::Postmaster;
use super::{DATABASE, EmbeddedSettings, cluster, place, roles, url};
use crate::error::Result;

/// The URL of the database for Aval's user, if another process is running the server of this data directory.
pub fn running_url(settings: &EmbeddedSettings) -> Result<Option<String>> {
    running_url_of(settings, roles::SERVER)
}

/// Like [`running_url`], but for the owner of the schema.
pub fn running_owner_url(settings: &EmbeddedSettings) -> Result<Option<String>> {
    running_url_of(settings, roles::OWNER)
}

fn running_url_of(settings: &EmbeddedSettings, user: &str) -> Result<Option<String>> {
    let cluster = place::known_cluster(settings)?;
    let socket_dir = cluster.as_deref().and_then(Postmaster::socket_of);
    Ok(socket_dir.map(|socket_dir| url(&socket_dir, DATABASE, user)))
}

/// The directory of the cluster and its log, if the data directory exists.
pub fn home(settings: &EmbeddedSettings) -> Result<Option<PathBuf>> {
    let cluster = place::known_cluster(settings)?;
    Ok(cluster.and_then(|cluster| cluster.parent().map(Path::to_path_buf)))
}

/// The major version of the cluster in the data directory; `None` if there is no cluster.
pub fn existing_major(settings: &EmbeddedSettings) -> Result<Option<u32>> {
    match place::known_cluster(settings)? {
        Some(cluster) => cluster::existing_major(&cluster),
        None => Ok(None),
    }
}
