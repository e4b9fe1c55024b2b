//! Events: how what was committed reaches every instance and its clients.

pub mod bus;
pub mod notifications;
