//! The job queue: tasks, this instance's running jobs, and the operations available to operators.
//!
//! A job is a row of `pending_jobs` that names a [`task`]. The scheduler claims it with a lease, and the supervisor
//! starts an actor that runs the task (`actors::job`). This module is independent of what the tasks do.

pub mod dead_letters;
pub mod jobs;
pub mod lanes;
pub mod running_jobs;
pub mod scheduled_runs;
pub mod task;
