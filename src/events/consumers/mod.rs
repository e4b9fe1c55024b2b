//! Consumers: named handlers of published events whose effects happen exactly once.
//!
//! To add a consumer, implement [`Consumer`] for a type and add one line to the registry (`app::engine`). Each consumer
//! has a position in the global sequence of events. The effect of an event, the position and a row of `inbox` are
//! committed in one transaction, so an effect is never lost and never repeated, whenever an instance ends.

mod groups;
mod handling;
mod isolation;
mod leases;
pub mod operators;
mod registry;
mod run;
mod stream_input;
pub mod type_filter;

pub use self::handling::HandlingResult;
pub use self::registry::{AnyConsumer, Consumers};
pub use self::run::{ConsumerRun, NextRound, ReadSource, Sources};

use std::future::Future;

use diesel_async::AsyncPgConnection;

use self::type_filter::TypeFilter;
use super::envelope::Envelope;
use crate::error::Result;

/// What happens to the later events of a subject when one of its events becomes a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDeadLetter {
    /// They wait until an operator replays or skips the dead letter.
    #[default]
    Park,
    /// They are handled. The dead letter is out of order if it is replayed.
    Continue,
}

/// A named handler of published events.
pub trait Consumer: Send + Sync + 'static {
    /// The name in the database, logs, metrics and the API. A consumer with a new name starts with the oldest event that
    /// the outbox still contains.
    const NAME: &'static str;

    /// The types of the events that the consumer handles. It never sees the others.
    fn event_types(&self) -> TypeFilter;

    /// What happens to the later events of a subject after a dead letter.
    fn on_dead_letter(&self) -> OnDeadLetter {
        OnDeadLetter::default()
    }

    /// Applies the effect of one event. The events of a subject arrive in order. The transaction of `connection` also
    /// stores that the event was handled. It is committed after this method returns, and often contains other events
    /// of the same consumer. Therefore the effect must be made only on `connection`; an effect elsewhere may be repeated.
    ///
    /// If this method fails, panics or exceeds `events.handler_timeout_ms`, its changes are rolled back. The event is
    /// repeated with backoff and becomes a dead letter after `events.max_attempts`. Events of other subjects are not delayed.
    /// An event that ends the process becomes a dead letter, too.
    ///
    /// # Errors
    /// Any error that prevented the effect.
    fn handle(
        &self,
        event: &Envelope,
        connection: &mut AsyncPgConnection,
    ) -> impl Future<Output = Result<()>>;
}
