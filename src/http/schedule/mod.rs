//! Scheduled tasks: their schedule, past runs and manual runs.

pub mod run;
pub mod runs;
pub mod tasks;
mod view;

pub use view::RunView;
