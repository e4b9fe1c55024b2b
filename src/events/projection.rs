//! Projections: tables or figures that follow the published events, kept by the leading relay.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::error::Result;

/// Work of the leading relay on the events that it has published. It runs beside publishing, one round at a time.
pub trait Projection: Send + Sync + 'static {
    /// Takes in the events that were published since the last round.
    ///
    /// # Errors
    /// When the database fails; the next round tries again.
    fn catch_up(&self) -> LocalBoxFuture<'_, Result<()>>;

    /// Forgets what only a leader may report: another instance leads, or none. Called whenever a relay does not lead.
    fn withdraw(&self);

    /// The pause between two rounds.
    fn pause(&self) -> Duration;
}
