//! Supervision: keeps the permanent actors running.
//!
//! [`root`] restarts an actor whose [`handle::LivenessGuard`] was dropped, with backoff and within a budget. Callers
//! hold a [`handle::Handle`], which follows restarts. [`faults`] makes actors panic on demand to test this.

pub mod faults;
pub mod handle;
pub mod root;
pub mod rounds;
pub mod work_health;
