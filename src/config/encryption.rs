//! `[encryption]`: encryption of personal data. The keys are in `[secrets]`.

use serde::Deserialize;

use super::Environment;
use crate::error::{Error, Result};

/// Whether unencrypted personal data written by earlier versions is readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainEnvelopes {
    /// Unencrypted data is read as it is.
    Accepted,
    /// Unencrypted data is an error.
    Refused,
}

/// `[encryption]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionSettings {
    /// Reads personal data that an earlier version stored unencrypted. Rejected in production, because anyone with
    /// write access to the database could then replace a name: there, `aval reencrypt --accept-plain` encrypts such
    /// data once.
    pub accept_plain: bool,
}

impl EncryptionSettings {
    /// How unencrypted data is handled.
    pub const fn plain_envelopes(&self) -> PlainEnvelopes {
        if self.accept_plain { PlainEnvelopes::Accepted } else { PlainEnvelopes::Refused }
    }

    pub(super) fn validate(&self, environment: Environment) -> Result<()> {
        if environment == Environment::Production && self.accept_plain {
            return Err(Error::configuration("encryption.accept_plain must be false in production"));
        }
        Ok(())
    }
}
