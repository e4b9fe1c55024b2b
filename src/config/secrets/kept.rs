//! The secrets that development makes for itself: `<data_dir>/secrets.toml`, mode 0600.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nix::unistd::Uid;
use zeroize::Zeroizing;

use super::SecretsSection;
use crate::clock::Clock;
use crate::error::{Error, Result};

const FILE_NAME: &str = "secrets.toml";

/// Reads the file, or makes it first. Of two processes that make it at once, one wins and both read the same.
pub(super) fn read_or_make(data_dir: &Path, clock: &Clock) -> Result<SecretsSection> {
    let path = data_dir.join(FILE_NAME);
    let unusable = |error: std::io::Error| {
        Error::configuration(format_args!("{} cannot be used: {error}", path.display()))
    };
    let text = match read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(&path, data_dir, clock).map_err(unusable)?;
            read(&path).map_err(unusable)?
        }
        other => other.map_err(unusable)?,
    };
    // The parser's message would repeat the line, which is a secret.
    toml::from_str(&text)
        .ok()
        .ok_or_else(|| Error::configuration(format_args!("{} is not what Aval wrote", path.display())))
}

fn read(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let mut file = fs::File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(std::io::Error::other("others may read it; its mode must be 0600"));
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file of its own and then gives it the name: a link never replaces what is there.
fn make(path: &Path, data_dir: &Path, clock: &Clock) -> std::io::Result<()> {
    // Under root the private database runs as another user, who must get through.
    let mode = if Uid::effective().is_root() { 0o711 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(data_dir)?;
    let fresh: PathBuf = data_dir.join(format!("{FILE_NAME}.{}", clock.new_uuid()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(contents(clock).as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn contents(clock: &Clock) -> Zeroizing<String> {
    let random = || Zeroizing::new(BASE64.encode(*Zeroizing::new(clock.random_bytes::<32>())));
    let (jwt, encryption, index, webhook) = (random(), random(), random(), random());
    Zeroizing::new(format!(
        "# Made by Aval for development. Without this file what was sealed with it cannot be read again.\n\
         jwt = \"{}\"\nencryption = \"{}\"\nindex = \"{}\"\nwebhook = \"whsec_{}\"\n\n\
         [webhooks]\nes = \"\"\npt = \"\"\nit = \"\"\nmx = \"\"\nco = \"\"\nbr = \"\"\n",
        *jwt, *encryption, *index, *webhook
    ))
}
