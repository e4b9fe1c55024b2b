//! What came over the WebSocket, and whether it came as promised: each change of an application once, in order, and
//! offsets that only grow.
//!
//! Other clients may be at work on the same server. Their applications are recorded like ours, because whose an
//! application is becomes known only with the answer to its request, which may come after its first update; they are
//! not held to anything but the order of the offsets.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;
use crate::domain::status::Status;

/// An update as the server sends it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Update {
    /// The sequence that `offset` is of.
    pub(super) epoch: Uuid,
    /// The place in it.
    pub(super) offset: i64,
    /// What changed.
    pub(super) data: Change,
}

/// A change of an application.
#[derive(Debug, Clone, Deserialize)]
#[expect(dead_code, reason = "naming every promised field makes a server that leaves one out fail here")]
pub(super) struct Change {
    pub(super) id: ApplicationId,
    pub(super) country: Country,
    pub(super) status: Status,
    pub(super) previous_status: Option<Status>,
    #[serde(with = "rust_decimal::serde::str_option")]
    pub(super) risk_score: Option<Decimal>,
    pub(super) updated_at: DateTime<Utc>,
}

/// An update with the moment at which it was read from the socket.
#[derive(Debug, Clone)]
pub(super) struct Received {
    /// The update.
    pub(super) update: Update,
    /// On the clock's monotonic scale.
    pub(super) at: Duration,
}

/// A change of status: before and after.
type Step = (Option<Status>, Status);

/// What was wrong with the updates. All zero on a server that keeps its promise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Faults {
    /// Updates that had come before.
    pub(super) duplicates: usize,
    /// Updates that came too early or too late, whose offset did not grow, or that show that one before them is
    /// missing.
    pub(super) out_of_order: usize,
}

/// The moment of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decided {
    /// What was decided.
    pub(super) status: Status,
    /// The risk, where it could be known.
    pub(super) risk_score: Option<Decimal>,
    /// When the update was read.
    pub(super) at: Duration,
}

/// Everything that was received.
#[derive(Debug, Default)]
pub(super) struct Histories {
    by_application: HashMap<ApplicationId, Vec<Received>>,
    epoch: Option<Uuid>,
    offsets: BTreeSet<i64>,
    received: usize,
    by_offset: Faults,
}

impl Histories {
    /// Takes an update. An offset that was there before makes it a duplicate, which is counted and left out.
    pub(super) fn feed(&mut self, received: Received) {
        self.received += 1;
        let Update { epoch, offset, .. } = received.update;
        if self.epoch != Some(epoch) {
            self.epoch = Some(epoch);
            self.offsets.clear();
        }
        let newest = self.offsets.last().copied();
        if !self.offsets.insert(offset) {
            self.by_offset.duplicates += 1;
            return;
        }
        if newest.is_some_and(|newest| offset < newest) {
            self.by_offset.out_of_order += 1;
        }
        self.by_application.entry(received.update.data.id).or_default().push(received);
    }

    /// How many updates came, those of other clients' applications included.
    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// When and how `id` was decided: its first update that says neither `PENDING` nor `VALIDATING`.
    pub(super) fn decided(&self, id: ApplicationId) -> Option<Decided> {
        let mut updates = self.by_application.get(&id)?.iter();
        let first = updates.find(|received| is_settled(received.update.data.status))?;
        let Change { status, risk_score, .. } = first.update.data;
        Some(Decided { status, risk_score, at: first.at })
    }

    /// What was wrong with the offsets of all updates and with the changes of the applications `ours`.
    pub(super) fn faults(&self, ours: impl IntoIterator<Item = ApplicationId>) -> Faults {
        ours.into_iter().filter_map(|id| self.by_application.get(&id)).fold(self.by_offset, |sum, updates| {
            let changes = updates.iter().map(|received| {
                let Change { previous_status, status, .. } = received.update.data;
                (previous_status, status)
            });
            let found = faults_of(changes);
            Faults {
                duplicates: sum.duplicates + found.duplicates,
                out_of_order: sum.out_of_order + found.out_of_order,
            }
        })
    }
}

/// Whether nothing more is to be waited for.
fn is_settled(status: Status) -> bool {
    !matches!(status, Status::Pending | Status::Validating)
}

/// Follows one application from nothing to `PENDING` and on, each change starting where the one before it ended. A
/// change that leaves the status as it is (a new risk, another field) is in order.
fn faults_of(changes: impl Iterator<Item = Step>) -> Faults {
    let mut faults = Faults::default();
    let mut last = None;
    let mut seen: Vec<Step> = Vec::new();
    for change in changes {
        let (from, to) = change;
        let permitted = match from {
            None => to == Status::Pending,
            Some(from) => from == to || from.may_become(to),
        };
        if from == last && permitted {
            last = Some(to);
        } else if seen.contains(&change) {
            faults.duplicates += 1;
        } else {
            faults.out_of_order += 1;
            last = Some(to);
        }
        seen.push(change);
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::status::Status::{
        Approved, Cancelled, Completed, Pending, Rejected, UnderReview, Validating,
    };
    use serde_json::json;

    const BORN: Step = (None, Pending);
    const TAKEN: Step = (Some(Pending), Validating);
    const GRANTED: Step = (Some(Validating), Approved);

    fn id(number: u128) -> ApplicationId {
        ApplicationId::new(Uuid::from_u128(number))
    }

    fn update(of: u128, offset: i64, (from, to): Step) -> Received {
        let update = json!({
            "type": "application_update",
            "epoch": "00000000-0000-0000-0000-0000000000ee",
            "offset": offset,
            "data": {
                "id": Uuid::from_u128(of),
                "country": "ES",
                "status": to,
                "previous_status": from,
                "risk_score": is_settled(to).then_some("25.96"),
                "updated_at": "2026-01-02T03:04:05.678Z",
            },
        });
        let at = Duration::from_millis(u64::try_from(offset).unwrap());
        Received { update: serde_json::from_value(update).unwrap(), at }
    }

    fn fed(updates: impl IntoIterator<Item = Received>) -> Histories {
        let mut histories = Histories::default();
        updates.into_iter().for_each(|received| histories.feed(received));
        histories
    }

    #[test]
    fn changes_are_in_order_twice_or_out_of_order_as_the_table_says() {
        let rows: &[(&str, &[Step], usize, usize)] = &[
            ("nothing came", &[], 0, 0),
            ("the usual way", &[BORN, TAKEN, GRANTED], 0, 0),
            ("cancelled at once", &[BORN, (Some(Pending), Cancelled)], 0, 0),
            (
                "reviewed, decided again, disbursed",
                &[
                    BORN,
                    TAKEN,
                    (Some(Validating), UnderReview),
                    (Some(UnderReview), UnderReview),
                    (Some(UnderReview), Approved),
                    (Some(Approved), Completed),
                ],
                0,
                0,
            ),
            ("the beginning is missing", &[TAKEN, GRANTED], 0, 1),
            ("the middle is missing", &[BORN, GRANTED], 0, 1),
            ("all but the end is missing", &[GRANTED], 0, 1),
            ("created twice", &[BORN, BORN, TAKEN, GRANTED], 1, 0),
            ("decided twice", &[BORN, TAKEN, GRANTED, GRANTED], 1, 0),
            ("all of it twice", &[BORN, TAKEN, GRANTED, BORN, TAKEN, GRANTED], 3, 0),
            ("the middle comes last", &[BORN, GRANTED, TAKEN], 0, 2),
            ("decided both ways", &[BORN, TAKEN, GRANTED, (Some(Validating), Rejected)], 0, 1),
            ("a change that is not permitted", &[BORN, (Some(Pending), Approved)], 0, 1),
            ("created as something else", &[(None, Approved)], 0, 1),
        ];
        for (name, changes, duplicates, out_of_order) in rows {
            let expected = Faults { duplicates: *duplicates, out_of_order: *out_of_order };
            assert_eq!(faults_of(changes.iter().copied()), expected, "{name}");
        }
    }

    #[test]
    fn a_decision_is_the_first_settled_status_and_its_moment() {
        let histories = fed([update(1, 4, BORN), update(1, 5, TAKEN)]);
        assert_eq!(histories.decided(id(1)), None);
        let histories = fed([update(1, 4, BORN), update(1, 5, TAKEN), update(1, 9, GRANTED)]);
        let decided = histories.decided(id(1)).unwrap();
        assert_eq!((decided.status, decided.at), (Approved, Duration::from_millis(9)));
        assert_eq!(decided.risk_score.unwrap().to_string(), "25.96");
        assert_eq!(histories.decided(id(2)), None);
    }

    #[test]
    fn an_update_that_comes_again_is_a_duplicate_by_its_offset_and_is_counted_once() {
        let histories =
            fed([update(1, 4, BORN), update(1, 5, TAKEN), update(1, 5, TAKEN), update(1, 9, GRANTED)]);
        assert_eq!(histories.faults([id(1)]), Faults { duplicates: 1, out_of_order: 0 });
        assert_eq!(histories.received(), 4);
    }

    #[test]
    fn offsets_must_grow_across_all_applications() {
        let histories = fed([update(1, 4, BORN), update(2, 3, BORN), update(3, 5, BORN)]);
        assert_eq!(histories.faults([]), Faults { duplicates: 0, out_of_order: 1 });
    }

    #[test]
    fn offsets_may_leave_gaps_and_start_anew_with_a_new_epoch() {
        let mut elsewhere = update(2, 1, BORN);
        elsewhere.update.epoch = Uuid::from_u128(7);
        let histories = fed([update(1, 400, BORN), elsewhere]);
        assert_eq!(histories.faults([id(1), id(2)]), Faults::default());
    }

    #[test]
    fn applications_of_other_clients_are_not_held_to_anything() {
        let histories = fed([update(1, 1, GRANTED), update(2, 2, BORN)]);
        assert_eq!(histories.faults([id(2)]), Faults::default());
        assert_eq!(histories.faults([id(1), id(2)]), Faults { duplicates: 0, out_of_order: 1 });
    }
}
