//! The payments of the simulated rails and the injected faults.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::scenarios::Scenario;
use crate::domain::disbursement::rail::{PaymentStatus, Rail};

/// The number of inquiries before a late payment is settled or a returned one is returned.
const LATE_INQUIRIES: u32 = 2;

/// A payment as its rail knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SimulatedPayment {
    pub amount: String,
    pub status: PaymentStatus,
    pub reason: Option<&'static str>,
    /// How often it was submitted.
    pub submissions: u32,
    /// How often it was inquired.
    pub inquiries: u32,
    #[serde(skip)]
    scenario: Scenario,
}

/// The injected faults of one rail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The number of requests that fail with 503, beginning with the next one.
    pub fail_next: u32,
    /// The number of submissions that take effect but are never answered.
    pub hang_next: u32,
    /// Additional latency of every response in milliseconds.
    pub latency_ms: u64,
}

#[derive(Default)]
struct State {
    /// By rail and key.
    payments: BTreeMap<(&'static str, String), SimulatedPayment>,
    /// Submissions that were lost.
    lost: Vec<String>,
    faults: BTreeMap<&'static str, Faults>,
}

/// The payments and faults of all rails.
#[derive(Default)]
pub struct Book(Mutex<State>);

/// What a submission leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Submitted {
    Answered(SimulatedPayment),
    /// No answer.
    Hangs,
    Unavailable,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The payments of a rail, by key.
    pub fn payments(&self, rail: Rail) -> BTreeMap<String, SimulatedPayment> {
        let state = self.lock();
        let of_rail = state.payments.iter().filter(|((name, _), _)| *name == rail.as_str());
        of_rail.map(|((_, key), payment)| (key.clone(), payment.clone())).collect()
    }

    /// Replaces the faults of a rail.
    pub fn set_faults(&self, rail: Rail, faults: Faults) {
        self.lock().faults.insert(rail.as_str(), faults);
    }

    /// The faults of a rail.
    pub fn faults(&self, rail: Rail) -> Faults {
        self.lock().faults.get(rail.as_str()).copied().unwrap_or_default()
    }

    /// Sets what a rail says about a payment from now on.
    pub fn decide(&self, rail: Rail, key: &str, status: PaymentStatus) {
        let place = (rail.as_str(), key.to_owned());
        if let Some(payment) = self.lock().payments.get_mut(&place) {
            (payment.status, payment.scenario) = (status, Scenario::Settled);
        }
    }

    /// Whether the next request fails; counts it.
    pub(super) fn fails(&self, rail: Rail) -> bool {
        let mut state = self.lock();
        let faults = state.faults.entry(rail.as_str()).or_default();
        let fails = faults.fail_next > 0;
        faults.fail_next = faults.fail_next.saturating_sub(1);
        fails
    }

    /// Records a submission. A known key changes nothing.
    pub(super) fn submit(&self, rail: Rail, key: &str, amount: String, scenario: Scenario) -> Submitted {
        let mut state = self.lock();
        match scenario {
            Scenario::Down => return Submitted::Unavailable,
            Scenario::Lost if !state.lost.iter().any(|lost| lost == key) => {
                state.lost.push(key.to_owned());
                return Submitted::Hangs;
            }
            _ => {}
        }
        let place = (rail.as_str(), key.to_owned());
        let is_new = !state.payments.contains_key(&place);
        let payment = state.payments.entry(place).or_insert_with(|| received(amount, scenario));
        payment.submissions += 1;
        let payment = payment.clone();
        let faults = state.faults.entry(rail.as_str()).or_default();
        let hangs = faults.hang_next > 0;
        faults.hang_next = faults.hang_next.saturating_sub(1);
        let is_silent = matches!(scenario, Scenario::AcceptedThenTimeout | Scenario::Undecided) && is_new;
        if hangs || is_silent { Submitted::Hangs } else { Submitted::Answered(payment) }
    }

    /// The payment with a key. Each inquiry brings a late payment closer to its end.
    pub(super) fn inquire(&self, rail: Rail, key: &str) -> Option<SimulatedPayment> {
        let mut state = self.lock();
        let payment = state.payments.get_mut(&(rail.as_str(), key.to_owned()))?;
        payment.inquiries += 1;
        if payment.inquiries >= LATE_INQUIRIES {
            match payment.scenario {
                Scenario::Late => payment.status = PaymentStatus::Settled,
                Scenario::Returned => {
                    (payment.status, payment.reason) = (PaymentStatus::Returned, Some("AC04"))
                }
                _ => {}
            }
        }
        Some(payment.clone())
    }
}

fn received(amount: String, scenario: Scenario) -> SimulatedPayment {
    let (status, reason) = match scenario {
        Scenario::Closed => (PaymentStatus::Rejected, Some("AC04")),
        Scenario::InsufficientFunds => (PaymentStatus::Rejected, Some("AM04")),
        Scenario::Duplicate => (PaymentStatus::Rejected, Some("AM05")),
        Scenario::NoSuchAccount => (PaymentStatus::Rejected, Some("AC01")),
        Scenario::Late | Scenario::Returned => (PaymentStatus::Accepted, None),
        Scenario::Undecided => (PaymentStatus::Unknown, None),
        Scenario::Settled | Scenario::OtherHolder | Scenario::AcceptedThenTimeout => {
            (PaymentStatus::Settled, None)
        }
        Scenario::Lost | Scenario::Down => (PaymentStatus::Settled, None),
    };
    SimulatedPayment { amount, status, reason, submissions: 0, inquiries: 0, scenario }
}
