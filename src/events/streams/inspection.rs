//! The state of the streams as the check finds it ([`scripts::check`](super::scripts::check)).

use std::collections::HashMap;

use uuid::Uuid;

use super::STREAMS;
use super::entry::offset_of;
use crate::domain::published::Position;

/// What the streams contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Appended {
    pub(super) epoch: Uuid,
    /// Events up to this offset may be missing.
    pub(super) start: i64,
    /// The offset up to which the streams contain all later events.
    pub(super) end: i64,
    /// The offset of the last entry of each stream; 0 without one.
    pub(super) last: [i64; STREAMS],
}

/// A consumer group of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// The index of the stream.
    pub(super) stream: usize,
    pub(super) name: String,
    /// The offset of the oldest entry that it has not acknowledged; 0 if there is none.
    pub(super) needs: i64,
}

/// The reply of the script: the state, the last identifier of each stream, and the groups.
pub(super) type Reply = (HashMap<String, String>, Vec<String>, Vec<(usize, String, i64)>);

/// The result of a check.
#[derive(Debug)]
pub(super) struct Inspection {
    state: HashMap<String, String>,
    last_ids: Vec<String>,
    pub(super) groups: Vec<Group>,
}

impl From<Reply> for Inspection {
    fn from((state, last_ids, groups): Reply) -> Self {
        let group = |(number, name, needs): (usize, String, i64)| Group {
            stream: number.saturating_sub(1),
            name,
            needs,
        };
        Self { state, last_ids, groups: groups.into_iter().map(group).collect() }
    }
}

impl Inspection {
    fn number(&self, field: &str) -> Option<i64> {
        self.state.get(field)?.parse().ok()
    }

    fn epoch(&self) -> Option<Uuid> {
        self.state.get("epoch")?.parse().ok()
    }

    /// The end of the streams, if the state is known.
    pub(super) fn end(&self) -> Option<i64> {
        self.number("end")
    }

    /// Whether the streams belong to another epoch than `epoch`.
    pub(super) fn is_of_other_epoch(&self, epoch: Uuid) -> bool {
        self.epoch().is_some_and(|found| found != epoch)
    }

    /// What the streams contain; `None` if they have lost data, or are not a part of the sequence that ends at `end`.
    pub(super) fn appended(&self, end: Position) -> Option<Appended> {
        let (epoch, start) = (self.epoch()?, self.number("start")?);
        let found_end = self.end()?;
        if epoch != end.epoch || found_end > end.offset || self.last_ids.len() != STREAMS {
            return None;
        }
        let mut last = [0; STREAMS];
        for (index, (last, id)) in last.iter_mut().zip(&self.last_ids).enumerate() {
            match self.number(&(index + 1).to_string()) {
                Some(offset) if offset_of(id) == Some(offset) => *last = offset,
                None if id == "0-0" => {}
                _ => return None,
            }
        }
        Some(Appended { epoch, start, end: found_end, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspection(fields: &[(&str, &str)], last_ids: &[&str]) -> Inspection {
        let mut state: HashMap<String, String> = HashMap::from([
            ("epoch".to_owned(), Uuid::from_u128(1).to_string()),
            ("start".to_owned(), "3".to_owned()),
            ("end".to_owned(), "9".to_owned()),
        ]);
        state.extend(fields.iter().map(|(field, value)| (field.to_string(), value.to_string())));
        let mut ids = vec!["0-0".to_owned(); STREAMS];
        for (id, given) in ids.iter_mut().zip(last_ids) {
            *id = given.to_string();
        }
        Inspection::from((state, ids, Vec::new()))
    }

    #[test]
    fn streams_that_do_not_end_with_the_recorded_entries_have_lost_data() {
        let end = Position { epoch: Uuid::from_u128(1), offset: 9 };
        let whole = inspection(&[("1", "8"), ("2", "9")], &["8-1", "9-1"]).appended(end).unwrap();
        assert_eq!((whole.start, whole.end, &whole.last[..3]), (3, 9, &[8, 9, 0][..]));
        for (fields, ids) in [
            (&[("1", "8")][..], &["0-0"][..]),
            (&[("1", "8")], &["7-1"]),
            (&[("1", "8")], &["8-0"]),
            (&[("1", "8")], &["foreign"]),
            (&[], &["8-1"]),
            (&[("end", "10")], &[]),
            (&[("end", "")], &[]),
            (&[("epoch", "")], &[]),
            (&[("start", "")], &[]),
        ] {
            assert_eq!(inspection(fields, ids).appended(end), None, "{fields:?} {ids:?}");
        }
        let elsewhere = Position { epoch: Uuid::from_u128(2), offset: 9 };
        assert_eq!(inspection(&[], &[]).appended(elsewhere), None);
        assert!(inspection(&[], &[]).is_of_other_epoch(elsewhere.epoch));
        assert!(!inspection(&[("epoch", "")], &[]).is_of_other_epoch(elsewhere.epoch));
    }
}
