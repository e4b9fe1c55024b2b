//! `PATCH /api/v1/webhook-endpoints/{id}`

use actix_web::HttpResponse;

use super::fields::{countries, description, event_types, url};
use super::view::WebhookEndpointView;
use crate::accounts::ChangeOrigin;
use crate::deliveries::Deliveries;
use crate::deliveries::endpoints::EndpointPatch;
use crate::domain::application::Country;
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::extract::IdPath;
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::json::boolean;

request_body! {
    /// A JSON Merge Patch (RFC 7396) with at least one change.
    pub struct ChangeWebhookEndpointRequest given(deliveries: &Deliveries) {
        /// The URL that events are sent to.
        #[schema(max_length = 2000, example = "https://example.com/hooks/aval")]
        url: Option<String> = changed(url(deliveries)),
        /// Event types, families (`application.*`), or `*` for all events.
        #[schema(min_items = 1, max_items = 100)]
        event_types: Option<Vec<String>> = changed(event_types(deliveries)),
        /// Send only events of these countries; empty: events of all countries and events without a country.
        #[schema(value_type = Option<Vec<crate::http::schemas::CountryCode>>)]
        countries: Option<Vec<Country>> = changed(countries),
        /// A description for admins.
        #[schema(max_length = 500)]
        description: Option<String> = changed(description),
        /// Whether a delivery waits until the earlier deliveries about the same subject have ended.
        ordered: Option<bool> = changed(boolean),
        /// Whether events are sent. While it is `false`, events are recorded as skipped deliveries.
        enabled: Option<bool> = changed(boolean),
    }
}

/// Changes, enables or disables a webhook endpoint. Unfinished deliveries go to the new URL.
#[utoipa::path(
    patch,
    path = "/api/v1/webhook-endpoints/{id}",
    operation_id = "change_webhook_endpoint",
    tag = "webhook endpoints",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the webhook endpoint")),
    request_body(content = ChangeWebhookEndpointRequest, example = json!({"enabled": false})),
    responses(
        (status = 200, description = "The webhook endpoint after the change", body = WebhookEndpointView),
        (status = 404, description = "Webhook endpoint not found"),
    ),
)]
pub(in crate::http) async fn change(
    state: HttpState,
    origin: ChangeOrigin,
    IdPath(id): IdPath,
    body: JsonObject,
) -> HandlerResult {
    let changed = state.deliveries.change_endpoint(id, read(&body, &state.deliveries)?, &origin).await?;
    Ok(HttpResponse::Ok().json(WebhookEndpointView::from(changed)))
}

fn read(body: &JsonObject, deliveries: &Deliveries) -> Result<EndpointPatch> {
    let members = body.members()?;
    if members.iter().next().is_none() {
        return Err(Error::field("", "required", "must contain at least one change"));
    }
    let request = ChangeWebhookEndpointRequest::read(members, deliveries)?;
    Ok(EndpointPatch {
        url: request.url,
        description: request.description,
        event_types: request.event_types,
        countries: request.countries,
        ordered: request.ordered,
        enabled: request.enabled,
    })
}
