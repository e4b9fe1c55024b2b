//! Files that appear under their names only when they are complete.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, PublicMessage, Result};

/// A partially written file next to its destination. It is deleted unless [`Partial::keep_as`] moves it there.
pub(super) struct Partial(PathBuf);

impl Partial {
    /// The partial file of the destination `path`. Does not create it.
    ///
    /// # Errors
    /// [`Error::Conflict`] if `path` has no file name.
    pub(super) fn beside(path: &Path) -> Result<Self> {
        let no_name = || Error::Conflict(PublicMessage::new(format!("{} is not a file", path.display())));
        let mut name = path.file_name().ok_or_else(no_name)?.to_owned();
        name.push(".partial");
        Ok(Self(path.with_file_name(name)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Creates the file, readable only by its owner. Overwrites what an aborted run has left.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the file cannot be created.
    pub(super) fn create(&self) -> Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.0).map_err(failed)
    }

    /// Moves the complete file to `path`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if `path` exists by now.
    pub(super) fn keep_as(mut self, path: &Path) -> Result<()> {
        // A link fails if the destination exists. A rename would replace it.
        std::fs::hard_link(&self.0, path).map_err(failed)?;
        let _ = std::fs::remove_file(std::mem::take(&mut self.0));
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::unavailable("the file", error)
}
