//! The received updates, and a check that the server kept its guarantees: it sends each change to an application once
//! and in order, and offsets increase.
//!
//! Other clients may use the same server. Updates of their applications are recorded too, because an update can arrive
//! before the response that identifies our application. Only their offsets are checked.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;
use crate::domain::status::Status;

/// An update as sent by the server.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Update {
    /// The sequence of events that `offset` belongs to.
    pub(super) epoch: Uuid,
    pub(super) offset: i64,
    pub(super) data: Change,
}

/// A change to an application.
#[derive(Debug, Clone, Deserialize)]
#[expect(dead_code, reason = "an update that lacks a documented field must not be parsed")]
pub(super) struct Change {
    pub(super) id: ApplicationId,
    pub(super) country: Country,
    pub(super) status: Status,
    pub(super) previous_status: Option<Status>,
    pub(super) risk_score: Option<Decimal>,
    pub(super) updated_at: DateTime<Utc>,
}

/// An update and the time at which it was read.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) update: Update,
    /// Monotonic time.
    pub(super) at: Duration,
}

/// A change of status: from, to.
type Step = (Option<Status>, Status);

/// Numbers of violations. All are zero if the server keeps its guarantees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Violations {
    /// Updates that were sent before.
    pub(super) duplicates: usize,
    /// Updates in the wrong place, with an offset that did not grow, or after a missing update.
    pub(super) out_of_order: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
/// A decision and its time.
pub(super) struct Decided {
    pub(super) status: Status,
    /// The risk score, if known.
    pub(super) risk_score: Option<Decimal>,
    /// When the update was read.
    pub(super) at: Duration,
}

/// All received updates.
#[derive(Debug, Default)]
pub(super) struct Histories {
    by_application: HashMap<ApplicationId, Vec<Received>>,
    epoch: Option<Uuid>,
    offsets: BTreeSet<i64>,
    received: usize,
    by_offset: Violations,
}

impl Histories {
    /// Adds an update. One with a known offset is counted as a duplicate and dropped.
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

    /// The number of received updates, including those of other clients.
    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// The decision on `id`: its first update with a status other than `PENDING` and `VALIDATING`.
    pub(super) fn decided(&self, id: ApplicationId) -> Option<Decided> {
        let mut updates = self.by_application.get(&id)?.iter();
        let first = updates.find(|received| is_settled(received.update.data.status))?;
        let Change { status, risk_score, .. } = first.update.data;
        Some(Decided { status, risk_score, at: first.at })
    }

    /// Violations in the offsets of all updates and in the changes of `ours`.
    pub(super) fn faults(&self, ours: impl IntoIterator<Item = ApplicationId>) -> Violations {
        ours.into_iter().filter_map(|id| self.by_application.get(&id)).fold(self.by_offset, |sum, updates| {
            let changes = updates.iter().map(|received| {
                let Change { previous_status, status, .. } = received.update.data;
                (previous_status, status)
            });
            let found = faults_of(changes);
            Violations {
                duplicates: sum.duplicates + found.duplicates,
                out_of_order: sum.out_of_order + found.out_of_order,
            }
        })
    }
}

/// Whether the status is the result of a decision.
fn is_settled(status: Status) -> bool {
    !matches!(status, Status::Pending | Status::Validating)
}

/// Checks the changes of one application, starting with its creation as `PENDING`. Each change must start from the
/// status that the previous one ended with. Changes that keep the status (a new risk score, another field) are valid.
fn faults_of(changes: impl Iterator<Item = Step>) -> Violations {
    let mut faults = Violations::default();
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

    const CREATED: Step = (None, Pending);
    const STARTED: Step = (Some(Pending), Validating);
    const APPROVED: Step = (Some(Validating), Approved);

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
    fn duplicates_and_changes_out_of_order_are_counted() {
        let rows: &[(&str, &[Step], usize, usize)] = &[
            ("no updates", &[], 0, 0),
            ("the usual order", &[CREATED, STARTED, APPROVED], 0, 0),
            ("cancelled at once", &[CREATED, (Some(Pending), Cancelled)], 0, 0),
            (
                "reviewed, decided again, disbursed",
                &[
                    CREATED,
                    STARTED,
                    (Some(Validating), UnderReview),
                    (Some(UnderReview), UnderReview),
                    (Some(UnderReview), Approved),
                    (Some(Approved), Completed),
                ],
                0,
                0,
            ),
            ("the beginning is missing", &[STARTED, APPROVED], 0, 1),
            ("the middle is missing", &[CREATED, APPROVED], 0, 1),
            ("all but the end is missing", &[APPROVED], 0, 1),
            ("created twice", &[CREATED, CREATED, STARTED, APPROVED], 1, 0),
            ("decided twice", &[CREATED, STARTED, APPROVED, APPROVED], 1, 0),
            ("all of it twice", &[CREATED, STARTED, APPROVED, CREATED, STARTED, APPROVED], 3, 0),
            ("the middle comes last", &[CREATED, APPROVED, STARTED], 0, 2),
            ("decided both ways", &[CREATED, STARTED, APPROVED, (Some(Validating), Rejected)], 0, 1),
            ("a change that is not permitted", &[CREATED, (Some(Pending), Approved)], 0, 1),
            ("created with another status", &[(None, Approved)], 0, 1),
        ];
        for (name, changes, duplicates, out_of_order) in rows {
            let expected = Violations { duplicates: *duplicates, out_of_order: *out_of_order };
            assert_eq!(faults_of(changes.iter().copied()), expected, "{name}");
        }
    }

    #[test]
    fn a_decision_is_the_first_settled_status_and_its_moment() {
        let histories = fed([update(1, 4, CREATED), update(1, 5, STARTED)]);
        assert_eq!(histories.decided(id(1)), None);
        let histories = fed([update(1, 4, CREATED), update(1, 5, STARTED), update(1, 9, APPROVED)]);
        let decided = histories.decided(id(1)).unwrap();
        assert_eq!((decided.status, decided.at), (Approved, Duration::from_millis(9)));
        assert_eq!(decided.risk_score.unwrap().to_string(), "25.96");
        assert_eq!(histories.decided(id(2)), None);
    }

    #[test]
    fn an_update_with_a_known_offset_is_counted_as_a_duplicate() {
        let histories = fed([
            update(1, 4, CREATED),
            update(1, 5, STARTED),
            update(1, 5, STARTED),
            update(1, 9, APPROVED),
        ]);
        assert_eq!(histories.faults([id(1)]), Violations { duplicates: 1, out_of_order: 0 });
        assert_eq!(histories.received(), 4);
    }

    #[test]
    fn offsets_must_grow_across_all_applications() {
        let histories = fed([update(1, 4, CREATED), update(2, 3, CREATED), update(3, 5, CREATED)]);
        assert_eq!(histories.faults([]), Violations { duplicates: 0, out_of_order: 1 });
    }

    #[test]
    fn offsets_may_have_gaps_and_restart_with_a_new_epoch() {
        let mut elsewhere = update(2, 1, CREATED);
        elsewhere.update.epoch = Uuid::from_u128(7);
        let histories = fed([update(1, 400, CREATED), elsewhere]);
        assert_eq!(histories.faults([id(1), id(2)]), Violations::default());
    }

    #[test]
    fn applications_of_other_clients_are_not_checked() {
        let histories = fed([update(1, 1, APPROVED), update(2, 2, CREATED)]);
        assert_eq!(histories.faults([id(2)]), Violations::default());
        assert_eq!(histories.faults([id(1), id(2)]), Violations { duplicates: 0, out_of_order: 1 });
    }
}
