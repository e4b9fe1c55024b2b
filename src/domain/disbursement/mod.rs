//! The disbursement of an approved application: its workflow, its history and its destination.
//!
//! A disbursement pays out one application in steps. [`workflow`] declares states, steps, events and compensations in one
//! table. [`history`] folds the recorded events into the current [`Disbursement`](history::Disbursement). The events are
//! the source of truth; the row in `disbursements` is their projection.
//!
//! The pivot is the acceptance of the payment by the rail. Before it, a failed step is compensated: the reserved funds are
//! released and the disbursement is cancelled. After it, the workflow only goes forward: a step that cannot succeed leaves
//! the disbursement `STUCK` until a person decides. A payment that comes back is a disbursement of its own, a reversal.

pub mod destination;
pub mod history;
pub mod rail;
pub mod workflow;
