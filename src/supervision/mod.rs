//! Supervision: keeps the permanent actors alive, whatever ends them.
//!
//! [`root`] restarts an actor whose [`handle::LivenessGuard`] was dropped, with backoff and within a budget; callers hold a
//! [`handle::Handle`], which follows the restarts. [`faults`] makes actors panic on demand, so that tests prove it.

pub mod faults;
pub mod handle;
pub mod root;
pub mod rounds;
pub mod work_health;
