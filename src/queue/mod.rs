//! The job queue: tasks, and the jobs in work on this instance.
//!
//! A job is a row of `pending_jobs` that names a [`task`]. The scheduler claims it under a lease, and the supervisor starts
//! an actor that runs the task (`actors::job`). Nothing in this module knows what any task is about.

pub mod running_jobs;
pub mod task;
