//! Event ingestion: receiving events, reading those of a user, statistics and dead letters.

mod body;
pub mod dead_letters;
pub mod list;
pub mod receive;
pub mod retry;
pub mod stats;
