//! Outbound webhooks: events that Aval sends to the endpoints of other systems (Standard Webhooks).
//!
//! The consumer [`fan_out::WebhookFanOut`] creates a delivery and its job for each published event and each endpoint that
//! subscribes to it. The job's task ([`deliver::DeliverWebhook`]) makes one attempt at a time: it resolves and checks the
//! host ([`address`]), signs the body ([`signing`]), sends it ([`send`]) and records the result. The queue repeats failed
//! attempts. [`Deliveries`] has the use cases of admins: endpoints, secrets, lists, repetitions and tests.
//!
//! An endpoint that hangs must not delay the others. The number of concurrent attempts at an endpoint is limited and
//! shrinks while the endpoint is slow or fails ([`admission`]); jobs over the limit return to the queue.

pub mod address;
pub mod admission;
pub mod deliver;
pub mod endpoints;
pub mod events;
pub mod fan_out;
pub mod repeat;
pub mod send;
pub mod signing;

use std::sync::Arc;

use crate::accounts::Accounts;
use crate::actors::write_batcher::CommitHook;
use crate::config::WebhookDeliverySettings;
use crate::events::registry::EventRegistry;
use crate::resources::Resources;

pub use crate::storage::deliveries::endpoints::{Endpoint, EndpointSecret};
pub use crate::storage::deliveries::list::{AttemptFilter, DeliveryFilter, ListedAttempt, ListedDelivery};
pub use crate::storage::deliveries::repeat::RecoverFilter;

/// The name in logs and security events.
pub const NAME: &str = "deliveries";

/// The use cases of webhook endpoints. Cheap to clone.
#[derive(Clone)]
pub struct Deliveries {
    resources: Resources,
    accounts: Accounts,
    types: Arc<EventRegistry>,
    on_commit: CommitHook,
}

impl Deliveries {
    /// `types` are the event types that endpoints may subscribe to. `on_commit` is called after every commit.
    pub fn new(
        resources: &Resources,
        accounts: Accounts,
        types: Arc<EventRegistry>,
        on_commit: CommitHook,
    ) -> Self {
        Self { resources: resources.named(NAME), accounts, types, on_commit }
    }

    /// What URLs may be.
    pub fn settings(&self) -> &WebhookDeliverySettings {
        &self.resources.settings.webhook_delivery
    }

    /// Whether an entry of `event_types` is valid: a registered type, a family of one (`application.*`), or `*`.
    pub fn is_event_type(&self, pattern: &str) -> bool {
        let is_in_family = |family: &str| {
            self.types.iter().any(|known| known.name.split('.').next().is_some_and(|name| name == family))
        };
        match pattern.strip_suffix(".*") {
            Some(family) => is_in_family(family),
            None => pattern == "*" || self.types.find(pattern).is_some(),
        }
    }
}
