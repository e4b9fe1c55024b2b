//! Projections: tables or figures derived from published events, maintained by the leading relay.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::error::Result;

/// Work of the leading relay on published events. It runs concurrently with publishing, one round at a time.
pub trait Projection: Send + Sync + 'static {
    /// Applies the events published since the last round.
    ///
    /// # Errors
    /// If the database fails; the next round retries.
    fn catch_up(&self) -> LocalBoxFuture<'_, Result<()>>;

    /// Marks the figures that only the leader reports as not set, so that the next round sets them again. Called when this
    /// relay is not the leader.
    fn withdraw(&self);

    /// The pause between two rounds.
    fn pause(&self) -> Duration;
}
