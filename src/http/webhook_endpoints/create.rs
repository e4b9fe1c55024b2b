//! `POST /api/v1/webhook-endpoints`

use actix_web::http::{StatusCode, header};

use super::fields::{algorithm, countries, description, event_types, url};
use super::view::{WebhookEndpointSecret, secret_reply};
use crate::accounts::ChangeOrigin;
use crate::deliveries::Deliveries;
use crate::deliveries::endpoints::{EndpointToCreate, EndpointWithSecrets};
use crate::domain::application::Country;
use crate::domain::delivery::Algorithm;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::text;
use crate::json::boolean;

request_body! {
    /// A webhook endpoint to create.
    pub struct CreateWebhookEndpointRequest given(deliveries: &Deliveries) {
        /// The URL that events are sent to: `https`, a public host, without user name. It may contain a query, which admins
        /// can read.
        #[schema(max_length = 2000, example = "https://example.com/hooks/aval")]
        url: String = required(url(deliveries)),
        /// Event types, families (`application.*`), or `*` for all events.
        #[schema(min_items = 1, max_items = 100, example = json!(["application.status_changed.v1"]))]
        event_types: Vec<String> = required(event_types(deliveries)),
        /// Send only events of these countries. By default, events of all countries and events without a country are sent.
        #[schema(value_type = Option<Vec<crate::http::schemas::CountryCode>>)]
        countries: Option<Vec<Country>> = optional(countries),
        /// A description for admins.
        #[schema(max_length = 500, example = "Core banking")]
        description: Option<String> = optional(description),
        /// Whether a delivery waits until the earlier deliveries about the same subject have ended; the default is `false`.
        ordered: Option<bool> = optional(boolean),
        /// Whether events are sent; the default is `true`.
        enabled: Option<bool> = optional(boolean),
        /// The version of the signatures: `v1` (HMAC-SHA256, the default) or `v1a` (ed25519).
        #[schema(value_type = Option<crate::http::schemas::WebhookAlgorithm>)]
        algorithm: Option<Algorithm> = optional(text(algorithm)),
    }
}

/// Creates a webhook endpoint.
///
/// The response contains the secret that verifies the signatures. The host of the URL is resolved at every attempt, and
/// attempts at hosts that are not public fail.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints",
    operation_id = "create_webhook_endpoint",
    tag = "webhook endpoints",
    params(Idempotency),
    request_body(
        content = CreateWebhookEndpointRequest,
        example = json!({"url": "https://example.com/hooks/aval", "event_types": ["application.status_changed.v1"]}),
    ),
    responses(
        (status = 201, description = "Webhook endpoint created; store its secret", body = WebhookEndpointSecret,
            headers(
                ("Location" = String, description = "Path of the webhook endpoint"),
                ("Cache-Control" = String, description = "`no-store`"),
            )),
        (status = 409, description = "There are too many webhook endpoints, or a request with the same Idempotency-Key is in progress"),
    ),
)]
pub(in crate::http) async fn create(
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
    idempotency: Idempotency,
    body: JsonObject,
) -> HandlerResult {
    let keyed = idempotency.keyed(&state, &principal.account, body.as_bytes(), &reply);
    let request = CreateWebhookEndpointRequest::read(body.members()?, &state.deliveries)?;
    let new = EndpointToCreate {
        url: request.url,
        description: request.description.unwrap_or_default(),
        event_types: request.event_types,
        countries: request.countries.unwrap_or_default(),
        ordered: request.ordered.unwrap_or(false),
        enabled: request.enabled.unwrap_or(true),
        algorithm: request.algorithm.unwrap_or(Algorithm::Hmac),
    };
    let made = state.deliveries.create_endpoint(&new, &origin, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, reply)
}

fn reply(made: &EndpointWithSecrets) -> Result<Reply> {
    let location = format!("/api/v1/webhook-endpoints/{}", made.endpoint.id);
    Ok(secret_reply(StatusCode::CREATED, made)?.with_header(&header::LOCATION, location))
}
