//! Supervision: keeps the permanent actors alive, whatever ends them.
//!
//! [`root`] restarts an actor whose [`handle::LivenessGuard`] was dropped, with backoff and within a budget; callers hold a
//! [`handle::Handle`], which follows the restarts. [`faults`] makes actors panic on demand, so that tests prove it.
//! [`limited`] runs jobs, recurring work and requests within a time limit and turns their panics into errors.

pub mod faults;
pub mod handle;
pub mod limited;
pub mod root;
pub mod rounds;
pub mod work_health;
