//! Supervision: keeps the permanent actors running.
//!
//! [`root`] restarts an actor whose [`handle::LivenessGuard`] was dropped, with backoff and within a budget. Callers
//! hold a [`handle::Handle`], which follows restarts. [`faults`] makes actors panic on demand to test this.
//! [`limited`] runs jobs, recurring work and requests within a time limit and turns their panics into errors.

pub mod faults;
pub mod handle;
pub mod limited;
pub mod root;
pub mod rounds;
pub mod work_health;
