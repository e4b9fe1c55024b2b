//! Use cases of deliveries: list, send again, recover, test.

use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};
use uuid::Uuid;

use super::endpoints::no_endpoint;
use super::{AttemptFilter, Deliveries, DeliveryFilter, ListedAttempt, ListedDelivery, RecoverFilter};
use crate::accounts::ChangeOrigin;
use crate::error::{Error, PublicMessage, Result};
use crate::storage::deliveries::endpoints::{self, Endpoint};
use crate::storage::deliveries::fan_out::{NewMessage, insert_for};
use crate::storage::deliveries::list::{attempts_page, find, list_page};
use crate::storage::deliveries::repeat::{recoverable, repeat, resend};
use crate::storage::idempotency::{self, Keyed, Once};
use crate::storage::security_events::{self, SecurityEvent};
use crate::storage::transaction::Abort;

/// The type of test messages. They are sent to one endpoint and are not events of the outbox.
pub const TEST_TYPE: &str = "webhook.test.v1";

/// A delivery with its body.
#[derive(Debug, Clone)]
pub struct DeliveryDetails {
    pub delivery: ListedDelivery,
    /// The event as CloudEvents JSON; `None` if it has expired.
    pub body: Option<String>,
}

/// The result of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The number of deliveries that were queued again; in a dry run, that would be.
    pub deliveries: usize,
    /// Whether more deliveries match than the limit.
    pub more: bool,
}

impl Deliveries {
    /// Up to `limit` deliveries to an endpoint created before the delivery `before`, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the endpoint.
    pub async fn deliveries(
        &self,
        endpoint: Uuid,
        filter: &DeliveryFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<ListedDelivery>> {
        let mut connection = self.resources.database.get().await?;
        endpoints::find(&mut connection, endpoint).await?.ok_or_else(no_endpoint)?;
        list_page(&mut connection, endpoint, filter, before, limit).await
    }

    /// Up to `limit` attempts at an endpoint made before the attempt `before`, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the endpoint.
    pub async fn attempts(
        &self,
        endpoint: Uuid,
        filter: &AttemptFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<ListedAttempt>> {
        let mut connection = self.resources.database.get().await?;
        endpoints::find(&mut connection, endpoint).await?.ok_or_else(no_endpoint)?;
        attempts_page(&mut connection, self.resources.database.keys(), endpoint, filter, before, limit).await
    }

    /// Gets a delivery with its body.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn delivery(&self, id: Uuid) -> Result<DeliveryDetails> {
        details(&mut *self.resources.database.get().await?, id).await
    }

    /// Sends a delivery again, with new attempts, at most once per idempotency key.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if its endpoint is disabled or was deleted, or if it waits for an earlier
    /// delivery; those of [`idempotency::once`].
    pub async fn resend(
        &self,
        id: Uuid,
        origin: &ChangeOrigin,
        keyed: Option<&Keyed<'_, DeliveryDetails>>,
    ) -> Result<Once<DeliveryDetails>> {
        let now = self.resources.clock.now();
        let endpoint = self.delivery(id).await?.delivery.endpoint_id;
        let work = async |connection: &mut AsyncPgConnection| {
            self.accounts.begin_change(connection, origin).await?;
            enabled(connection, endpoint).await?;
            if !resend(connection, id, now).await? {
                let text = "The delivery waits for an earlier delivery about the same subject.";
                return Err(Abort::from(Error::Conflict(PublicMessage::new(text))));
            }
            let detail = json!({"endpoint_id": endpoint, "delivery_id": id, "deliveries": 1});
            record(connection, SecurityEvent::WebhooksRepeated, origin, detail).await?;
            Ok(details(connection, id).await?)
        };
        let (database, logger) = (&self.resources.database, &self.resources.logger);
        let made = idempotency::once(database, logger, "resend_webhook", keyed, work).await?;
        if let Once::Made(_) = made {
            self.committed("webhook delivery repeated", endpoint, origin);
        }
        Ok(made)
    }

    /// Sends the deliveries again that ended without success, oldest first, at most once per idempotency key. A dry run
    /// only counts them.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the endpoint is disabled; those of [`idempotency::once`].
    pub async fn recover(
        &self,
        filter: &RecoverFilter,
        dry_run: bool,
        origin: &ChangeOrigin,
        keyed: Option<&Keyed<'_, Recovered>>,
    ) -> Result<Once<Recovered>> {
        let limit = usize::try_from(filter.limit).unwrap_or(0);
        let selected = RecoverFilter { limit: filter.limit.saturating_add(1), ..filter.clone() };
        let work = async |connection: &mut AsyncPgConnection| {
            self.accounts.begin_change(connection, origin).await?;
            enabled(connection, filter.endpoint_id).await?;
            let mut found = recoverable(connection, &selected).await?;
            let more = found.len() > limit;
            found.truncate(limit);
            if dry_run {
                return Ok(Recovered { deliveries: found.len(), more });
            }
            let deliveries = repeat(connection, found).await?;
            let detail = json!({
                "endpoint_id": filter.endpoint_id, "since": filter.since, "until": filter.until, "deliveries": deliveries,
            });
            record(connection, SecurityEvent::WebhooksRepeated, origin, detail).await?;
            Ok(Recovered { deliveries, more })
        };
        let (database, logger) = (&self.resources.database, &self.resources.logger);
        let made = idempotency::once(database, logger, "recover_webhooks", keyed, work).await?;
        if let (Once::Made(_), false) = (&made, dry_run) {
            self.committed("webhook deliveries recovered", filter.endpoint_id, origin);
        }
        Ok(made)
    }

    /// Sends a test message to an endpoint, at most once per idempotency key.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the endpoint is disabled; those of [`idempotency::once`].
    pub async fn send_test(
        &self,
        endpoint: Uuid,
        origin: &ChangeOrigin,
        request_id: &str,
        keyed: Option<&Keyed<'_, ListedDelivery>>,
    ) -> Result<Once<ListedDelivery>> {
        let message = self.test_message(endpoint, request_id);
        let work = async |connection: &mut AsyncPgConnection| {
            self.accounts.begin_change(connection, origin).await?;
            enabled(connection, endpoint).await?;
            insert_for(connection, &message, endpoint).await?;
            let filter = DeliveryFilter { subject: Some(message.subject), ..DeliveryFilter::default() };
            let created = list_page(connection, endpoint, &filter, None, 1).await?.pop();
            record(connection, SecurityEvent::WebhookTested, origin, json!({"endpoint_id": endpoint}))
                .await?;
            Ok(created.ok_or_else(|| Error::internal("the delivery of a test message is missing"))?)
        };
        let (database, logger) = (&self.resources.database, &self.resources.logger);
        let made = idempotency::once(database, logger, "test_webhook", keyed, work).await?;
        if let Once::Made(_) = made {
            self.committed("webhook test sent", endpoint, origin);
        }
        Ok(made)
    }

    /// The subject of each test message is its own, so it waits for no other delivery.
    fn test_message(&self, endpoint: Uuid, request_id: &str) -> NewMessage {
        let clock = &self.resources.clock;
        let (id, subject) = (clock.new_uuid(), clock.new_uuid());
        let body = json!({
            "specversion": "1.0",
            "id": id,
            "source": "/aval",
            "type": TEST_TYPE,
            "subject": subject,
            "time": clock.now(),
            "datacontenttype": "application/json",
            "requestid": request_id,
            "data": {"endpoint_id": endpoint},
        });
        NewMessage {
            id,
            event_type: TEST_TYPE.to_owned(),
            subject,
            country: None,
            body: body.to_string(),
            request_id: Some(request_id.to_owned()),
            traceparent: None,
        }
    }
}

async fn details(connection: &mut AsyncPgConnection, id: Uuid) -> Result<DeliveryDetails> {
    let found = find(connection, id).await?;
    let (delivery, body) = found.ok_or(Error::NotFound("webhook delivery"))?;
    Ok(DeliveryDetails { delivery, body })
}

/// The endpoint, which must be enabled.
async fn enabled(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Endpoint> {
    let endpoint = endpoints::find(connection, id).await?.ok_or_else(no_endpoint)?;
    let disabled =
        || Error::Conflict(PublicMessage::new("The webhook endpoint is disabled. Enable it first."));
    if endpoint.is_enabled() { Ok(endpoint) } else { Err(disabled()) }
}

async fn record(
    connection: &mut AsyncPgConnection,
    event: SecurityEvent,
    origin: &ChangeOrigin,
    detail: Value,
) -> Result<()> {
    security_events::record(connection, event, origin.actor(), None, detail).await
}
