//! Types shared by all published events: their position in the global sequence, and the family of their data.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A place in the global sequence of events. A new epoch begins when the sequence has to start again, after the
/// restoration of a backup or in a new database. Offsets of different epochs cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The identifier of the sequence.
    pub epoch: Uuid,
    /// The place in the sequence; 0 is before the first event.
    pub offset: i64,
}

/// The data of one family of event types: the types whose names begin with [`EventData::FAMILY`].
///
/// All types of a family have data of the same shape, so the family is enough to decode an event. A type with data of
/// another shape belongs to another family.
pub trait EventData: DeserializeOwned + Send + Sync + 'static {
    /// The prefix of the type names, including the full stop, such as `application.`.
    const FAMILY: &'static str;
}
