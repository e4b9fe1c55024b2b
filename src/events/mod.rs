//! Events: how committed changes reach every instance and its clients. This module does not depend on the content of
//! events, except for those about dead letters, which it declares itself.

pub mod bus;
pub mod consumers;
pub mod dead_letter_events;
pub mod envelope;
pub mod feed;
pub mod notifications;
pub mod projection;
pub mod registry;
pub mod streams;
