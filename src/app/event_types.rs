//! The registry of all event types. A module that declares event types must be listed here.

use crate::accounts;
use crate::actors::provider_gateway;
use crate::deliveries;
use crate::events::dead_letter_events;
use crate::events::registry::EventRegistry;
use crate::lending;

pub fn event_types() -> EventRegistry {
    EventRegistry::new(&[
        lending::events::TYPES,
        lending::review_events::TYPES,
        lending::disburse::events::TYPES,
        accounts::events::TYPES,
        provider_gateway::events::TYPES,
        deliveries::events::TYPES,
        dead_letter_events::TYPES,
    ])
}
