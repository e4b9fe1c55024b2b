//! Response types for webhook endpoints.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::deliveries::endpoints::EndpointWithSecrets;
use crate::deliveries::signing::shared_text;
use crate::deliveries::{Endpoint, EndpointSecret};
use crate::domain::delivery::{Algorithm, DisabledReason};
use crate::domain::label::Label;
use crate::error::Result;
use crate::http::idempotency::Reply;
use actix_web::http::{StatusCode, header};
use secrecy::ExposeSecret as _;

/// A webhook endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookEndpointView {
    /// The identifier.
    id: Uuid,
    /// The URL that events are sent to.
    #[schema(example = "https://example.com/hooks/aval")]
    url: String,
    /// A description for admins.
    #[schema(example = "Core banking")]
    description: String,
    /// Event types, families (`application.*`), or `*` for all events.
    #[schema(example = json!(["application.status_changed.v1"]))]
    event_types: Vec<String>,
    /// Only events of these countries are sent; empty: events of all countries and events without a country.
    #[schema(value_type = Vec<crate::http::schemas::CountryCode>)]
    countries: Vec<String>,
    /// Whether a delivery waits until the earlier deliveries about the same subject have ended.
    ordered: bool,
    /// Whether events are sent. The events of a disabled endpoint are recorded as skipped deliveries.
    enabled: bool,
    /// When the endpoint was disabled.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    disabled_at: Option<DateTime<Utc>>,
    /// Why the endpoint is disabled; `null` if it is enabled.
    #[schema(value_type = Option<crate::http::schemas::WebhookDisabledReason>)]
    disabled_reason: Option<Label<DisabledReason>>,
    /// The time of the first failed attempt after the last successful one; `null` if the last attempt succeeded.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    failing_since: Option<DateTime<Utc>>,
    /// The account that created the endpoint.
    #[schema(example = "admin")]
    created_by: String,
    /// Time of creation.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    created_at: DateTime<Utc>,
    /// Time of the last change.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    updated_at: DateTime<Utc>,
}

impl From<Endpoint> for WebhookEndpointView {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.id,
            enabled: endpoint.is_enabled(),
            url: endpoint.url,
            description: endpoint.description,
            event_types: endpoint.event_types,
            countries: endpoint.countries,
            ordered: endpoint.ordered,
            disabled_at: endpoint.disabled_at,
            disabled_reason: endpoint.disabled_reason.as_deref().map(Label::read),
            failing_since: endpoint.failing_since,
            created_by: endpoint.created_by,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// A valid secret of an endpoint, without the secret itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookSecretView {
    /// The version of the signatures: `v1` (HMAC-SHA256) or `v1a` (ed25519).
    #[schema(value_type = crate::http::schemas::WebhookAlgorithm)]
    algorithm: Algorithm,
    /// The ed25519 public key that verifies the signatures; `null` for `v1`.
    #[schema(example = "whpk_vzUx6cQ8nV9Z3Y0t1r2s3u4v5w6x7y8z9A0B1C2D3E4=")]
    public_key: Option<String>,
    /// Time of creation.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    created_at: DateTime<Utc>,
    /// When the secret expires; `null` for the current one.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    expires_at: Option<DateTime<Utc>>,
}

impl From<&EndpointSecret> for WebhookSecretView {
    fn from(secret: &EndpointSecret) -> Self {
        Self {
            algorithm: secret.algorithm,
            public_key: secret.public_key.clone(),
            created_at: secret.created_at,
            expires_at: secret.expires_at,
        }
    }
}

/// A webhook endpoint and its valid secrets.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookEndpointDetails {
    #[serde(flatten)]
    endpoint: WebhookEndpointView,
    /// The valid secrets, the current one first. Every delivery is signed with all of them.
    secrets: Vec<WebhookSecretView>,
}

impl From<&EndpointWithSecrets> for WebhookEndpointDetails {
    fn from(found: &EndpointWithSecrets) -> Self {
        Self {
            endpoint: found.endpoint.clone().into(),
            secrets: found.secrets.iter().map(WebhookSecretView::from).collect(),
        }
    }
}

/// A webhook endpoint with its new secret, which is returned only once: the response to a repeated request omits it.
#[derive(Serialize, ToSchema)]
pub struct WebhookEndpointSecret {
    /// The new secret that verifies HMAC-SHA256 signatures. Absent for ed25519, whose public key is in `secrets`. If it is
    /// lost, rotate the secret.
    #[schema(value_type = String, required = false, example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(flatten)]
    endpoint: WebhookEndpointDetails,
}

/// The response with a new secret. Its stored copy omits the secret.
pub(super) fn secret_reply(status: StatusCode, made: &EndpointWithSecrets) -> Result<Reply> {
    let shared = made.secrets.first().and_then(shared_text);
    let first = WebhookEndpointSecret {
        secret: shared.map(|text| text.expose_secret().to_owned()),
        endpoint: made.into(),
    };
    let reply = Reply::json(status, &WebhookEndpointDetails::from(made))?.with_first_body(&first)?;
    Ok(reply.with_header(&header::CACHE_CONTROL, "no-store"))
}
