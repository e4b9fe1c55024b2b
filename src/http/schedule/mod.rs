//! Recurring work: what is due when, what was run, and asking for a run.

pub mod run;
pub mod runs;
pub mod tasks;
mod view;

pub use view::RunView;
