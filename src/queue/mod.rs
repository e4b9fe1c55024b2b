//! The job queue: the jobs in work on this instance, and what a job's task has to provide.

pub mod running_jobs;
