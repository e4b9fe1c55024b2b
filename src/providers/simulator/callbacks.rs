//! The answers that a bureau has promised: written as webhooks, signed, and posted until they are taken.
//!
//! Every try is signed anew, at its own time, under the same `webhook-id`, as Standard Webhooks wants it. A try that is not
//! answered 2xx is followed by another after a pause that doubles, and after the last the bureau gives up, as real ones do.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::test_documents::Outcome;
use crate::clock::Clock;
use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;
use crate::providers::signature::SigningKey;

/// Tries of one answer...
const MAX_TRIES: u32 = 12;
/// ...the pause after the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long a try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);

/// Where promised answers are posted, and the keys that sign them. A country without a key answers on the spot.
#[derive(Debug, Clone)]
pub struct Callbacks {
    /// The whole URL.
    pub url: String,
    /// Each country's key.
    pub keys: BTreeMap<Country, SigningKey>,
}

/// One answer on its way.
pub(super) struct Delivery {
    pub(super) country: Country,
    pub(super) key: SigningKey,
    pub(super) url: String,
    pub(super) body: String,
    pub(super) delay: Duration,
}

impl Delivery {
    /// Posts the answer when its time has come, and again until it is taken. Must run on one of actix's threads.
    pub(super) async fn carry_out(self, clock: Clock, logger: slog::Logger) {
        tokio::time::sleep(self.delay).await;
        // As in the provider gateway: awc panics where no cryptography is installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = awc::Client::builder().timeout(TRY_TIMEOUT).disable_redirects().finish();
        let id = format!("msg_{}", clock.new_uuid().simple());
        let mut pause = FIRST_PAUSE;
        for tried in 1..=MAX_TRIES {
            let answered = self.post(&client, &id, clock.now()).await;
            slog::info!(logger, "answer posted"; "country" => self.country.code(), "try" => tried, "status" => answered);
            if answered.is_some_and(|status| (200..300).contains(&status)) {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        slog::warn!(logger, "answer given up"; "country" => self.country.code());
    }

    /// One try: the status of its answer, if there was one.
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

/// The body of the webhook that tells `outcome`; `None` for what a bureau answers on the spot.
pub(super) fn write(
    application: ApplicationId,
    reference: &str,
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> Option<String> {
    let mut told = match outcome {
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
    if let Value::Object(members) = &mut told {
        members.retain(|_, value| !value.is_null());
        members.insert("provider_reference".to_owned(), json!(reference));
        members.insert("application_id".to_owned(), json!(application));
        let occurred_at = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        members.insert("occurred_at".to_owned(), json!(occurred_at));
    }
    let text = told.to_string();
    let whole = !matches!(outcome, Outcome::HalfReport(_));
    Some(if whole { text } else { text.chars().take(text.len() / 2).collect() })
}

#[cfg(test)]
mod tests {
    use super::super::test_documents::{Scenario, TEST_DOCUMENTS};
    use super::*;
    use crate::domain::confirmation::Confirmation;

    #[test]
    fn every_report_is_written_as_a_confirmation_that_can_be_read() {
        let id: ApplicationId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        for document in TEST_DOCUMENTS {
            let outcome = document.outcome();
            let written = write(id, "ES-1", &outcome, DateTime::UNIX_EPOCH);
            let read = written.as_deref().map(|text| serde_json::from_str(text).map(Confirmation::read));
            match document.scenario {
                Scenario::ServerError
                | Scenario::Unavailable
                | Scenario::Unauthorized
                | Scenario::RateLimited
                | Scenario::Timeout => assert!(written.is_none()),
                Scenario::Malformed => assert!(read.unwrap().is_err()),
                _ => {
                    let confirmation = read.unwrap().unwrap().unwrap();
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
