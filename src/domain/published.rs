//! What all published events have in common: a position in one sequence, and data of a family.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A place in the global sequence of events. Offsets of different epochs cannot be compared: an epoch ends when the
/// sequence has to start again (a restored backup, a new database).
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
