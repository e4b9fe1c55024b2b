//! Events: how committed changes reach every instance and its clients. Nothing here knows what an event is about.

pub mod bus;
pub mod envelope;
pub mod notifications;
pub mod projection;
pub mod registry;
