//! Text that is a part of a request's body.

use std::fmt;
use std::io::Write as _;

use bytes::Bytes;
use diesel::pg::Pg;
use diesel::serialize::{IsNull, Output, Result, ToSql};
use diesel::sql_types::Text;

/// Text that shares the memory of the body it was received in. A copy of each value would cost an allocation per member of
/// an event.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedText(Bytes);

impl SharedText {
    /// The part of `body` that `text` refers to.
    ///
    /// # Panics
    /// If `text` is not a part of `body`.
    pub fn part_of(body: &Bytes, text: &str) -> Self {
        Self(body.slice_ref(text.as_bytes()))
    }

    /// The UTF-8 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text. It is never invalid UTF-8, because it was made from text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<String> for SharedText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for SharedText {
    /// Omits the text, which may be personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedText({} bytes)", self.0.len())
    }
}

impl ToSql<Text, Pg> for SharedText {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> Result {
        out.write_all(&self.0)?;
        Ok(IsNull::No)
    }
}
