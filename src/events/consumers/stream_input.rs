//! What a consumer reads from the streams in Redis, and which entries it has to acknowledge.
//!
//! The positions in the database decide which entries are new. An entry at or below the position of its partition is only
//! acknowledged. An entry that does not follow the position shows a gap: the consumer then reads the outbox. Entries are
//! acknowledged once the position has passed them, whether their events came from the stream or from the outbox.

use slog::debug;

use crate::domain::published::Position;
use crate::events::envelope::Envelope;
use crate::events::streams::{Batch, StreamReader};
use crate::resources::Resources;
use crate::storage::consumers::leases::HeldPartition;

/// The reader of a consumer, and the entries that it has not acknowledged yet.
pub(super) struct StreamInput {
    reader: StreamReader,
    unacknowledged: Vec<Received>,
    /// Whether the outbox had events that the stream has not delivered.
    is_late: bool,
    /// Whether the stream has delivered entries since the last read of the outbox.
    has_delivered: bool,
}

/// An entry that was read.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    partition: i16,
    id: String,
    /// `None` if the entry is acknowledged in any case.
    offset: Option<i64>,
}

/// The new events of a batch.
#[derive(Debug)]
pub(super) struct Selection {
    /// In order of their offsets.
    pub(super) events: Vec<Envelope>,
    /// The held partitions, with the positions after these events.
    pub(super) ends: Vec<HeldPartition>,
    /// Whether the stream lacks events before some of the entries.
    pub(super) has_gap: bool,
}

impl StreamInput {
    pub(super) const fn new(reader: StreamReader) -> Self {
        Self { reader, unacknowledged: Vec::new(), is_late: false, has_delivered: false }
    }

    /// Reads the entries of these partitions from now on.
    pub(super) fn follow(&self, held: &[HeldPartition]) {
        self.reader.follow(held);
    }

    /// Whether the stream delivers events, so there is no need to read the outbox whenever events were published.
    pub(super) fn delivers(&self) -> bool {
        self.reader.has_batch() || self.reader.is_reading() && !self.is_late
    }

    /// Whether entries are ready.
    pub(super) fn has_batch(&self) -> bool {
        self.reader.has_batch()
    }

    /// The new events of the next batch, if one is ready. `end` is the end of the sequence.
    pub(super) fn take(&mut self, held: &[HeldPartition], end: Position) -> Option<Selection> {
        let batch = self.reader.take()?;
        (self.is_late, self.has_delivered) = (false, true);
        let (selection, received) = select(batch, held, end);
        self.unacknowledged.extend(received);
        Some(selection)
    }

    /// Records a read of the outbox, and whether it had events for the consumer.
    pub(super) fn outbox_read(&mut self, has_events: bool) {
        self.is_late = has_events && !self.has_delivered;
        self.has_delivered = false;
    }

    /// Acknowledges the entries up to the positions of the held partitions. Entries of other partitions are left to their
    /// new owner.
    pub(super) async fn acknowledge(&mut self, held: &[HeldPartition], resources: &Resources) {
        let done = settle(&mut self.unacknowledged, held);
        if done.is_empty() {
            return;
        }
        if let Err(error) = self.reader.acknowledge(&done).await {
            debug!(resources.logger, "cannot acknowledge entries; they will be taken over"; error);
        }
    }
}

/// Divides a batch into the new events and what has to be acknowledged later.
fn select(batch: Batch, held: &[HeldPartition], end: Position) -> (Selection, Vec<Received>) {
    let mut selection = Selection { events: Vec::new(), ends: held.to_vec(), has_gap: false };
    let mut received = Vec::with_capacity(batch.len());
    for entry in batch {
        let Some(own) = selection.ends.iter_mut().find(|own| own.partition == entry.partition) else {
            continue;
        };
        let offset = entry.offset();
        let is_published = |event: &crate::events::streams::StreamedEvent| {
            event.epoch == end.epoch && event.envelope.offset <= end.offset
        };
        let event = entry.event.filter(is_published);
        let offset = offset.filter(|_| event.is_some());
        received.push(Received { partition: entry.partition, id: entry.id, offset });
        match event {
            Some(event) if event.envelope.offset <= own.position => {}
            Some(event) if event.previous <= own.position => {
                own.position = event.envelope.offset;
                selection.events.push(event.envelope);
            }
            _ => selection.has_gap = true,
        }
    }
    selection.events.sort_by_key(|event| event.offset);
    (selection, received)
}

/// Removes the entries up to the positions of the held partitions and those of other partitions. Returns the former.
fn settle(entries: &mut Vec<Received>, held: &[HeldPartition]) -> Vec<(i16, String)> {
    let position = |partition| held.iter().find(|held| held.partition == partition).map(|held| held.position);
    entries.retain(|entry| position(entry.partition).is_some());
    let is_done = |entry: &mut Received| {
        entry.offset.is_none_or(|offset| position(entry.partition).is_some_and(|position| offset <= position))
    };
    entries.extract_if(.., is_done).map(|entry| (entry.partition, entry.id)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::events::envelope::tests::envelope;
    use crate::events::streams::{Entry, StreamedEvent};

    const EPOCH: Uuid = Uuid::from_u128(1);
    const END: Position = Position { epoch: EPOCH, offset: 100 };

    fn held(partition: i16, position: i64) -> HeldPartition {
        HeldPartition { partition, position, fence: 1 }
    }

    fn entry(partition: i16, previous: i64, offset: i64) -> Entry {
        let envelope = envelope("toy.made.v1", offset, &json!({}));
        let event = StreamedEvent { epoch: EPOCH, previous, envelope };
        Entry { id: format!("{offset}-1"), partition, event: Some(event) }
    }

    fn offsets(selection: &Selection) -> Vec<i64> {
        selection.events.iter().map(|event| event.offset).collect()
    }

    fn positions(selection: &Selection) -> Vec<i64> {
        selection.ends.iter().map(|end| end.position).collect()
    }

    #[test]
    fn entries_that_follow_the_position_are_new_and_ordered_by_offset() {
        let batch = vec![entry(1, 3, 5), entry(1, 5, 9), entry(2, 2, 6), entry(7, 0, 7)];
        let (selection, received) = select(batch, &[held(1, 4), held(2, 4)], END);
        assert_eq!((offsets(&selection), positions(&selection)), (vec![5, 6, 9], vec![9, 6]));
        assert!(!selection.has_gap && received.len() == 3, "partition 7 is not held: {received:?}");
    }

    #[test]
    fn known_entries_are_skipped_and_gaps_are_reported() {
        let (selection, _) = select(vec![entry(1, 3, 5), entry(1, 5, 8)], &[held(1, 7)], END);
        assert_eq!((offsets(&selection), selection.has_gap), (vec![8], false));
        let (selection, _) = select(vec![entry(1, 6, 8), entry(1, 8, 9)], &[held(1, 5)], END);
        assert_eq!((offsets(&selection), positions(&selection), selection.has_gap), (vec![], vec![5], true));
    }

    #[test]
    fn entries_that_are_not_published_events_are_acknowledged_and_not_handled() {
        let foreign = Entry { event: None, ..entry(1, 5, 6) };
        let elsewhere = entry(1, 5, 6);
        let elsewhere = Entry {
            event: elsewhere.event.map(|event| StreamedEvent { epoch: Uuid::from_u128(2), ..event }),
            ..elsewhere
        };
        for strange in [foreign, elsewhere, entry(1, 5, 101)] {
            let (selection, mut received) = select(vec![strange], &[held(1, 5)], END);
            assert!(selection.events.is_empty() && selection.has_gap);
            assert_eq!(settle(&mut received, &[held(1, 5)]).len(), 1);
        }
    }

    #[test]
    fn entries_are_acknowledged_once_the_position_has_passed_them() {
        let batch = vec![entry(1, 3, 5), entry(1, 5, 9), entry(2, 2, 6)];
        let (_, mut received) = select(batch, &[held(1, 0), held(2, 0)], END);
        assert_eq!(settle(&mut received, &[held(1, 5), held(2, 5)]), [(1, "5-1".to_owned())]);
        assert_eq!(settle(&mut received, &[held(1, 9)]), [(1, "9-1".to_owned())]);
        assert!(received.is_empty(), "partition 2 has another owner");
    }
}
