//! The lending use cases, built on the engine: storage, queue, events and actors.
//!
//! There is one file per use case. Each takes typed input and returns a typed result or an
//! [`Error`](crate::error::Error). Use cases do not depend on HTTP. A use case runs its transaction and everything that
//! follows the commit: it updates the cache's change log and the metrics, wakes the queue and the relay, and records
//! audit views.

pub mod audit_views;
pub mod bulk_status;
pub mod caller;
pub mod change;
pub mod circuits;
pub mod confirm;
pub mod disburse;
pub mod events;
pub mod export;
pub mod figures;
pub mod history;
pub mod lane_admission;
pub mod list;
pub mod process;
pub mod read;
pub mod review_events;
pub mod reviews;
pub mod statistics;
pub mod submit;
pub mod webhooks;

pub use self::caller::Caller;
pub use crate::storage::applications::Visibility;

use crate::actors::view_recorder::ViewLog;
use crate::actors::write_batcher::{CommitHook, WriteBatchers};
use crate::cache::Cache;
use crate::resources::Resources;

/// The parts of the instance that the use cases need. Cheap to clone.
#[derive(Clone)]
pub struct Lending {
    resources: Resources,
    write_batchers: WriteBatchers,
    views: ViewLog,
    cache: Cache,
    on_commit: CommitHook,
}

impl Lending {
    /// Creates the use cases. `on_commit` is called after every commit that was not made by a write batcher.
    pub fn new(
        resources: &Resources,
        write_batchers: WriteBatchers,
        views: ViewLog,
        cache: Cache,
        on_commit: CommitHook,
    ) -> Self {
        Self { resources: resources.clone(), write_batchers, views, cache, on_commit }
    }
}
