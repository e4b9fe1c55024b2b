//! Delivers the reports of asynchronous bureaus as signed webhooks, with retries.
//!
//! Each attempt has the same `webhook-id` but a new signature with the current time, as Standard Webhooks requires. If an
//! attempt gets no 2xx response, the next one follows after a delay, which doubles each time. After the last attempt, the
//! report is not sent again.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::test_documents::Outcome;
use crate::clock::Clock;
use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;
use crate::providers::signature::SigningKey;

/// The maximum number of attempts to deliver a report.
const MAX_ATTEMPTS: u32 = 12;
/// Delay after the first attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The timeout of an attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// The URL for webhooks and the signing keys. A country without a key responds synchronously.
#[derive(Debug, Clone)]
pub struct Callbacks {
    /// The complete URL.
    pub url: String,
    /// The signing key of each country.
    pub keys: BTreeMap<Country, SigningKey>,
}

/// The delivery of one report.
pub(super) struct Delivery {
    pub(super) country: Country,
    pub(super) key: SigningKey,
    pub(super) url: String,
    pub(super) body: String,
    pub(super) delay: Duration,
}

impl Delivery {
    /// Posts the report after its delay and retries until it is accepted. Must run on an actix thread.
    pub(super) async fn run(self, clock: Clock, logger: slog::Logger) {
        tokio::time::sleep(self.delay).await;
        // awc panics without a default crypto provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = awc::Client::builder().timeout(ATTEMPT_TIMEOUT).disable_redirects().finish();
        let id = format!("msg_{}", clock.new_uuid().simple());
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=MAX_ATTEMPTS {
            let answered = self.post(&client, &id, clock.now()).await;
            slog::info!(logger, "report posted"; "country" => self.country.code(), "attempt" => attempt,
                "status" => answered);
            if answered.is_some_and(|status| (200..300).contains(&status)) {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        slog::warn!(logger, "report delivery abandoned"; "country" => self.country.code());
    }

    /// Makes one attempt. Returns the status of the response, if any.
    async fn post(&self, client: &awc::Client, id: &str, now: DateTime<Utc>) -> Option<u16> {
        let time = now.timestamp();
        let request = client
            .post(&self.url)
            .insert_header(("content-type", "application/json"))
            .insert_header(("webhook-id", id))
            .insert_header(("webhook-timestamp", time.to_string()))
            .insert_header(("webhook-signature", self.key.sign(id, time, self.body.as_bytes())));
        request.send_body(self.body.clone()).await.ok().map(|answer| answer.status().as_u16())
    }
}

/// The body of the webhook for `outcome`; `None` if the bureau responds synchronously.
pub(super) fn write(
    application: ApplicationId,
    reference: &str,
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> Option<String> {
    let mut payload = match outcome {
        Outcome::Report(record) | Outcome::SlowReport(record) | Outcome::HalfReport(record) => json!({
            "outcome": "confirmed",
            "credit_score": record.credit_score,
            "total_debt": record.total_debt,
            "monthly_obligations": record.monthly_obligations,
            "has_defaults": record.has_defaults,
            "account_status": record.account_status,
            "average_monthly_income": record.average_monthly_income,
            "verified": record.verified,
        }),
        Outcome::NotFound => json!({"outcome": "needs_review", "reason": "not found"}),
        Outcome::ServerError
        | Outcome::Unavailable
        | Outcome::Unauthorized
        | Outcome::RateLimited
        | Outcome::Hang => return None,
    };
    if let Value::Object(members) = &mut payload {
        members.retain(|_, value| !value.is_null());
        members.insert("provider_reference".to_owned(), json!(reference));
        members.insert("application_id".to_owned(), json!(application));
        let occurred_at = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        members.insert("occurred_at".to_owned(), json!(occurred_at));
    }
    let text = payload.to_string();
    let whole = !matches!(outcome, Outcome::HalfReport(_));
    Some(if whole { text } else { text.chars().take(text.len() / 2).collect() })
}

#[cfg(test)]
mod tests {
    use super::super::scenario::Scenario;
    use super::super::test_documents::test_documents;
    use super::*;
    use crate::domain::confirmation::Confirmation;

    #[test]
    fn every_report_is_a_confirmation_that_can_be_parsed() {
        let id: ApplicationId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        for document in test_documents() {
            let outcome = document.outcome();
            let written = write(id, "ES-1", &outcome, DateTime::UNIX_EPOCH);
            let read = written.as_deref().map(serde_json::from_str::<Confirmation>);
            match document.scenario {
                Scenario::ServerError
                | Scenario::Unavailable
                | Scenario::Unauthorized
                | Scenario::RateLimited
                | Scenario::Timeout => assert!(written.is_none()),
                Scenario::Malformed => assert!(read.unwrap().is_err()),
                _ => {
                    let confirmation = read.unwrap().unwrap();
                    let expected = match &outcome {
                        Outcome::Report(record) | Outcome::SlowReport(record) => record.credit_score,
                        _ => None,
                    };
                    assert_eq!((confirmation.application_id, confirmation.credit_score), (id, expected));
                }
            }
        }
    }
}
