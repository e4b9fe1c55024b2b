//! The use cases of credit, built on the engine: storage, queue, events and actors.

pub mod confirm;
pub mod events;
pub mod lane_admission;
pub mod process;
pub mod statistics;
