//! The consumer that creates the deliveries of each published event.

use diesel_async::AsyncPgConnection;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::events::consumers::type_filter::TypeFilter;
use crate::events::consumers::{Consumer, OnDeadLetter};
use crate::events::envelope::Envelope;
use crate::storage::deliveries::fan_out::{NewMessage, fan_out};
use crate::storage::outbox;

/// The longest body of a delivery, in bytes.
pub const MAX_BODY_BYTES: usize = 20_000;

/// Creates deliveries and their jobs, in the transaction that moves the consumer's position.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebhookFanOut;

/// The member of the data that the country filter of endpoints refers to.
#[derive(Deserialize)]
struct CountryOf {
    country: Option<String>,
}

impl Consumer for WebhookFanOut {
    const NAME: &'static str = "webhook_deliveries";

    fn event_types(&self) -> TypeFilter {
        TypeFilter::all()
    }

    /// One undeliverable event must not hold back the later ones.
    fn on_dead_letter(&self) -> OnDeadLetter {
        OnDeadLetter::Continue
    }

    async fn handle(&self, event: &Envelope, connection: &mut AsyncPgConnection) -> Result<()> {
        let epoch = outbox::position(connection).await?.epoch;
        fan_out(connection, &message(event, epoch)?).await?;
        Ok(())
    }
}

/// The message of an event.
///
/// # Errors
/// [`Error::Internal`] if its JSON exceeds [`MAX_BODY_BYTES`].
fn message(event: &Envelope, epoch: uuid::Uuid) -> Result<NewMessage> {
    let body = String::from_utf8(event.to_json(epoch)?).map_err(Error::internal)?;
    if body.len() > MAX_BODY_BYTES {
        let (id, length) = (event.id, body.len());
        return Err(Error::internal(format_args!("event {id} has {length} bytes, too many for a webhook")));
    }
    let data: Option<CountryOf> = serde_json::from_str(event.json().get()).ok();
    Ok(NewMessage {
        id: event.id.as_uuid(),
        event_type: event.event_type.clone(),
        subject: event.subject,
        country: data.and_then(|data| data.country),
        body,
        request_id: event.request_id.as_ref().map(ToString::to_string),
        traceparent: event.traceparent.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::events::envelope::tests::envelope;

    #[test]
    fn a_message_has_the_country_of_its_data_and_a_limited_body() {
        let country = |data| message(&envelope("toy.made.v1", 1, &data), Uuid::nil()).unwrap().country;
        assert_eq!(country(json!({"country": "ES"})).as_deref(), Some("ES"));
        assert_eq!(country(json!({"country": null})), None);
        assert_eq!(country(json!({"size": 1})), None);
        assert_eq!(country(json!({"country": 7})), None);
        let long = json!({"text": "x".repeat(MAX_BODY_BYTES)});
        assert!(message(&envelope("toy.made.v1", 1, &long), Uuid::nil()).is_err());
    }
}
