//! The bus: how published events reach every instance.
//!
//! There is one global sequence of events; the leading relay gives each its offset, without gaps. Every instance reads
//! the whole sequence from a position of its own, so nothing is acknowledged and no reader can hold up another. The
//! default bus is the outbox itself ([`postgres`]): what wakes a reader is a hint (an in-process call, `NOTIFY`), what
//! it reads is the truth, and a poll makes up for lost hints. Where there is a Redis, the newest events stand there too
//! ([`redis`]).

pub mod postgres;
pub mod redis;

use futures_util::future::BoxFuture;

use crate::domain::published::Position;
use crate::error::Result;
use crate::events::envelope::Envelope;

/// What the bus still holds of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The end of the sequence.
    pub end: Position,
    /// The first offset that can still be read; `None` when none can.
    pub oldest_offset: Option<i64>,
}

impl Extent {
    /// Whether everything after `position` can be read: it is of this sequence, not beyond its end, and nothing after
    /// it has expired.
    pub fn holds_everything_after(&self, position: Position) -> bool {
        let known = position.epoch == self.end.epoch && (0..=self.end.offset).contains(&position.offset);
        let whole = || self.oldest_offset.is_some_and(|oldest| oldest <= position.offset.saturating_add(1));
        known && (position.offset == self.end.offset || whole())
    }
}

/// A place where published events can be read, in order.
pub trait EventBus: Send + Sync + 'static {
    /// The end of the sequence.
    ///
    /// # Errors
    /// When the bus cannot be reached.
    fn position(&self) -> BoxFuture<'_, Result<Position>>;

    /// What can be read, from where to where.
    ///
    /// # Errors
    /// When the bus cannot be reached.
    fn extent(&self) -> BoxFuture<'_, Result<Extent>>;

    /// The next events after a position, in order and without gaps, at most `limit`. What follows a position of a sequence
    /// that has ended is unspecified: whoever gets nothing asks where the end is.
    ///
    /// # Errors
    /// When the bus cannot be reached.
    fn read_after(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<Envelope>>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn only_a_position_of_this_sequence_with_nothing_expired_after_it_can_be_resumed() {
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
