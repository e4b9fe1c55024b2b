//! The job queue: the jobs in work on this instance, and what operators see and do. It knows no credit.

pub mod dead_letters;
pub mod jobs;
pub mod lanes;
pub mod running_jobs;
pub mod scheduled_runs;
