//! Identifiers. Each kind has its own type, so they cannot be confused.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// Unwraps the UUID.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    )+};
}

uuid_id! {
    /// A credit application. Always a version 7 UUID, which contains the creation time.
    ApplicationId,
    /// A job of the queue.
    JobId,
    /// One evaluation of one application.
    DecisionId,
    /// One event of the outbox.
    EventId,
    /// A change to an application. Each change by Aval gets a new identifier; changes made directly in SQL have none.
    ChangeId,
}

impl ApplicationId {
    /// The creation time: the timestamp in the identifier, in milliseconds (RFC 9562, section 5.7). `None` if it is not
    /// a version 7 UUID.
    pub fn created_at(self) -> Option<DateTime<Utc>> {
        let (secs, nanos) = self.0.get_timestamp()?.to_unix();
        DateTime::from_timestamp(i64::try_from(secs).ok()?, nanos)
    }
}

/// The identifier of a request: the client's `X-Request-ID` if valid, otherwise generated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// Longest accepted identifier, in characters.
    pub const MAX_LEN: usize = 128;

    /// Accepts 1 to 128 characters of `A-Z a-z 0-9 . _ -`. They suffice for every tracing scheme and need no escaping
    /// in log lines, headers and rows.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= Self::MAX_LEN;
        let safe = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        (fits && safe).then(|| Self(text.to_owned()))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Uuid> for RequestId {
    fn from(id: Uuid) -> Self {
        Self(id.to_string())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_with_other_characters_or_over_128_are_rejected() {
        assert!(RequestId::parse("01J9-abc_DEF.7").is_some());
        for bad in ["", "a b", "a\nb", "é", "a;b", &"x".repeat(129)] {
            assert_eq!(RequestId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_version_7_ids_contain_a_creation_time() {
        assert_eq!(ApplicationId::new(Uuid::nil()).created_at(), None);
        let id: ApplicationId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        assert_eq!(id.created_at().unwrap().timestamp_millis(), 0x0189_0a5d_ac96);
    }
}
