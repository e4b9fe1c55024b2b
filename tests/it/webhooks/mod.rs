//! Webhooks from bureaus.

mod applying;
mod concurrent;
mod failing;
mod operators;
mod responses;

use actix_web::http::Method;
use aval::domain::application::Country;
use aval::providers::signature::SigningKey;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp};

/// The webhook secret of all countries, unless a test overrides it.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_WwIYIP75njNuiV2HpJzNhVYcuYRuNnkrf8Fr";

pub(crate) const PATH: &str = "/api/v1/webhooks/bank-confirmation";

/// A webhook as a bureau sends it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) body: Value,
}

pub(crate) fn key(secret: &str) -> SigningKey {
    let encoded = secret.strip_prefix("whsec_").unwrap();
    SigningKey::new(&base64::engine::general_purpose::STANDARD.decode(encoded).unwrap())
}

/// A confirmation with figures that the rules of all countries approve.
pub(crate) fn confirmed(application: &str) -> Message {
    let id = format!("msg_{}", uuid::Uuid::new_v4().simple());
    let body = json!({
        "provider_reference": format!("ref-{id}"),
        "application_id": application,
        "outcome": "confirmed",
        "credit_score": 760,
        "total_debt": "0.00",
        "monthly_obligations": "0.00",
        "has_defaults": false,
        "occurred_at": "2026-01-31T12:00:00Z",
    });
    Message { id, body }
}

impl Message {
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body[name] = value.into();
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.body.as_object_mut().unwrap().remove(name);
        self
    }

    /// Sends it now, signed with [`SECRET`].
    pub(crate) async fn send(&self, app: &TestApp) -> Answer {
        self.send_signed(app, SECRET, 0).await
    }

    /// Sends it, signed with `secret` and with a timestamp `seconds_ago` seconds in the past.
    pub(crate) async fn send_signed(&self, app: &TestApp, secret: &str, seconds_ago: i64) -> Answer {
        let time = app.engine().resources.clock.now().timestamp() - seconds_ago;
        let body = self.body.to_string();
        let signature = key(secret).sign(&self.id, time, body.as_bytes());
        let headers = [
            ("webhook-id", self.id.as_str()),
            ("webhook-timestamp", &time.to_string()),
            ("webhook-signature", &signature),
            ("content-type", "application/json"),
        ];
        app.send(Method::POST, PATH, &headers, body).await
    }

    /// Sends it with the legacy signature.
    pub(crate) async fn send_legacy(&self, app: &TestApp, secret: &str) -> Answer {
        let body = self.body.to_string();
        let signature = key(secret).sign_legacy(body.as_bytes());
        app.send(Method::POST, PATH, &[("X-Webhook-Signature", &signature)], body).await
    }
}

/// Submits an application and returns its identifier. It stays pending if no worker processes it.
async fn waiting(app: &TestApp, country: Country) -> String {
    let sample = crate::support::builders::samples().into_iter().find(|(of, _)| *of == country).unwrap().1;
    app.submit(&crate::support::builders::body(country, sample)).await
}
