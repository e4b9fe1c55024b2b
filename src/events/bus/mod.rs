//! The event bus, which delivers published events to every instance.
//!
//! There is one global sequence of events, in which the leading relay assigns offsets without gaps. Every instance
//! reads the whole sequence from its own position. Nothing is acknowledged, and no reader can delay another. The
//! default bus is the outbox table itself ([`postgres`]): hints (an in-process call, `NOTIFY`) wake readers, and
//! polling compensates for lost hints. If Redis is configured, it also holds the newest events ([`redis`]).

pub mod postgres;
pub mod redis;

use futures_util::future::BoxFuture;

use crate::domain::published::Position;
use crate::error::Result;
use crate::events::envelope::Envelope;

/// The range of events that the bus can deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The end of the sequence.
    pub end: Position,
    /// The first offset that can still be read; `None` if there is none.
    pub oldest_offset: Option<i64>,
}

impl Extent {
    /// Whether all events after `position` can be read: it belongs to this sequence, is not beyond its end, and no
    /// event after it has expired.
    pub fn holds_everything_after(&self, position: Position) -> bool {
        let known = position.epoch == self.end.epoch && (0..=self.end.offset).contains(&position.offset);
        let none_expired =
            || self.oldest_offset.is_some_and(|oldest| oldest <= position.offset.saturating_add(1));
        known && (position.offset == self.end.offset || none_expired())
    }
}

/// A source of published events, in order.
pub trait EventBus: Send + Sync + 'static {
    /// The end of the sequence.
    ///
    /// # Errors
    /// If the bus is unreachable.
    fn position(&self) -> BoxFuture<'_, Result<Position>>;

    /// The range of events that can be read.
    ///
    /// # Errors
    /// If the bus is unreachable.
    fn extent(&self) -> BoxFuture<'_, Result<Extent>>;

    /// The next events after a position, in order and without gaps, at most `limit`. For a position of a former epoch, the
    /// result is unspecified. A reader that gets no events must therefore check whether the epoch has changed.
    ///
    /// # Errors
    /// If the bus is unreachable.
    fn read_after(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<Envelope>>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn only_positions_of_this_sequence_without_expired_successors_can_be_resumed() {
        let epoch = Uuid::from_u128(1);
        let at = |offset| Position { epoch, offset };
        let extent = |end, oldest_offset| Extent { end: at(end), oldest_offset };
        for (extent, offset, holds) in [
            (extent(9, Some(4)), 3, true),
            (extent(9, Some(4)), 2, false),
            (extent(9, Some(4)), 9, true),
            (extent(9, Some(4)), 10, false),
            (extent(9, Some(1)), 0, true),
            (extent(9, Some(1)), -1, false),
            (extent(9, None), 8, false),
            (extent(9, None), 9, true),
            (extent(0, None), 0, true),
            (extent(9, Some(1)), i64::MAX, false),
        ] {
            assert_eq!(extent.holds_everything_after(at(offset)), holds, "{extent:?} after {offset}");
        }
        let elsewhere = Position { epoch: Uuid::from_u128(2), offset: 5 };
        assert!(!extent(9, Some(1)).holds_everything_after(elsewhere));
    }
}
