//! What all published events have in common: a position in one sequence, and data of a family.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A place in the global sequence of events. Offsets of different epochs cannot be compared: an epoch ends when the
/// sequence has to start again (a restored backup, a new database).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The sequence.
    pub epoch: Uuid,
    /// The place in it; 0 is before the first event.
    pub offset: i64,
}

/// The data of one family of event types: the types whose names begin with [`EventData::FAMILY`].
///
/// All types of a family have the same data, so that a consumer decodes an event once it knows the family. A type with
/// other data belongs to another family.
pub trait EventData: DeserializeOwned + Send + Sync + 'static {
    /// What the names of the types begin with, with its full stop, such as `application.`.
    const FAMILY: &'static str;
}
