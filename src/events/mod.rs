//! Events: how committed changes reach every instance and its clients. This module does not depend on the content of
//! events.

pub mod bus;
pub mod consumers;
pub mod envelope;
pub mod feed;
pub mod notifications;
pub mod projection;
pub mod registry;
pub mod streams;
