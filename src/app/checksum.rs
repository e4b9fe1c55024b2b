//! The SHA-256 checksums in exports and backups.

use sha2::{Digest as _, Sha256};

/// The digest in lowercase hexadecimal.
pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
