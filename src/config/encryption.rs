//! `[encryption]`: how personal data is sealed. The keys are secrets and stand in `[secrets]`.

use serde::Deserialize;

use super::Environment;
use crate::error::{Error, Result};

/// Whether texts that earlier versions wrote in the clear are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainEnvelopes {
    /// They are: on a developer's machine, and while they are sealed for the first time.
    Accepted,
    /// They are an error.
    Refused,
}

/// `[encryption]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionSettings {
    /// Opens personal data that an earlier version stored in the clear. Refused in production, because whoever can write
    /// to the database could then put anybody's name into it: there, `aval reencrypt --accept-plain` seals such data once.
    pub accept_plain: bool,
}

impl EncryptionSettings {
    /// The same as a choice with a name.
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
