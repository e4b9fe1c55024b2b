//! `POST /api/v1/webhooks/bank-confirmation` and its alias `POST /api/v1/webhooks/provider`

use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Datelike as _, FixedOffset, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::senders;
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, CreditScore};
use crate::domain::confirmation::{Confirmation, MAX_REFERENCE_CHARS, ReportedOutcome, parse_reference};
use crate::domain::ids::ApplicationId;
use crate::domain::money::Money;
use crate::domain::status::Status;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::body::{self, JsonObject};
use crate::http::extract::RequestContext;
use crate::http::limits;
use crate::http::problem::{HandlerResult, Rejection};
use crate::http::request::request_body;
use crate::http::request::values::{account_status, application_id, bad_uuid, credit_score, reason, text};
use crate::json::{Refusal, boolean, money};
use crate::lending::confirm::{MessageResult, Receipt, UNKNOWN_PROVIDER, VerifiedMessage};
use crate::providers::provider_for;
use crate::providers::signature::Signature;

request_body! {
    /// A bank's or bureau's report on an application. Omitted figures keep their previous values.
    pub struct BankConfirmation {
        /// The sender's reference. If the bureau announced the report with a 202, this is the reference from that
        /// response.
        #[schema(min_length = 1, max_length = 128, example = "ES-7f3a9c")]
        provider_reference: String = required(text(provider_reference)),
        /// The identifier of the application.
        #[schema(value_type = Uuid, example = "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21")]
        application_id: ApplicationId = required(text(hyphenated_id)),
        /// `confirmed`: the rules decide. `rejected`: the application is rejected. `needs_review`: staff review the
        /// application.
        #[schema(value_type = crate::http::schemas::ReportedOutcomeName, example = "confirmed")]
        outcome: ReportedOutcome = required(text(outcome)),
        /// The credit score on the common scale.
        #[schema(value_type = Option<u16>, minimum = 300, maximum = 850, example = 720)]
        credit_score: Option<CreditScore> = optional(credit_score),
        /// Total outstanding debt, in the country's currency.
        #[schema(value_type = Option<crate::http::schemas::Amount>, example = "9000.00")]
        total_debt: Option<Money> = optional(money),
        /// Monthly debt payments, in the country's currency.
        #[schema(value_type = Option<crate::http::schemas::Amount>, example = "300.00")]
        monthly_obligations: Option<Money> = optional(money),
        /// Whether there are overdue debts.
        has_defaults: Option<bool> = optional(boolean),
        /// `active`, `inactive`, `suspended` or `closed`; any other text counts as `unknown`.
        #[schema(value_type = Option<String>, example = "active")]
        account_status: Option<AccountStatus> = optional(account_status),
        /// Average monthly income, in the country's currency; used by Italy's rules.
        #[schema(value_type = Option<crate::http::schemas::Amount>, example = "2500.00")]
        average_monthly_income: Option<Money> = optional(money),
        /// Whether the bureau has verified the person's record; used by Colombia's rules.
        verified: Option<bool> = optional(boolean),
        /// The reason for the outcome. It is shown to users unless it appears to contain personal data.
        #[schema(max_length = 500, example = "insufficient history")]
        reason: Option<String> = optional(reason),
        /// Time of the report.
        occurred_at: DateTime<Utc> = required(text(event_time)),
    }
}

/// The result of processing a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookReceipt {
    /// Whether the same message has been processed before; if so, nothing was changed.
    pub duplicate: bool,
    /// Whether the message changed its application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<bool>,
    /// The identifier of the message in Aval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Uuid>,
    /// The current status of the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::http::schemas::ApplicationStatus>)]
    pub status: Option<Status>,
}

impl From<Receipt> for WebhookReceipt {
    fn from(receipt: Receipt) -> Self {
        let settled = |applied, event, status| Self {
            duplicate: false,
            applied: Some(applied),
            event_id: Some(event),
            status: Some(status),
        };
        match receipt {
            Receipt::Applied(event, status) => settled(true, event, status),
            Receipt::Ignored(event, status) => settled(false, event, status),
            Receipt::Duplicate => Self { duplicate: true, applied: None, event_id: None, status: None },
        }
    }
}

/// Receives a confirmation from a bank or bureau.
///
/// Requests are signed as in Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`) or, if enabled,
/// with the hex HMAC-SHA256 of the body in `X-Webhook-Signature`. After any response other than 2xx, send the message
/// again with the same `webhook-id`. The body is parsed as JSON regardless of its media type.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/bank-confirmation",
    operation_id = "receive_bank_confirmation",
    tag = "webhooks",
    params(
        ("webhook-id" = Option<String>, Header, description = "Identifier of the message; the same for every attempt"),
        ("webhook-timestamp" = Option<String>, Header, description = "Unix time in seconds when this attempt was signed"),
        ("webhook-signature" = Option<String>, Header, description = "`v1,` and the signature in Base64; several are separated by spaces"),
        ("X-Webhook-Signature" = Option<String>, Header, description = "Legacy signature in hex"),
    ),
    request_body(
        content = BankConfirmation,
        example = json!({
            "provider_reference": "ES-7f3a9c",
            "application_id": "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21",
            "outcome": "confirmed",
            "credit_score": 720,
            "total_debt": "9000.00",
            "monthly_obligations": "300.00",
            "has_defaults": false,
            "occurred_at": "2026-01-31T12:00:00Z",
        }),
    ),
    responses(
        (status = 200, description = "The message was stored and processed", body = WebhookReceipt),
        (status = 401, description = "The signature is missing or invalid, or its timestamp is too far in the past or future"),
        (status = 404, description = "Application not found, or not in a country of the sender"),
        (status = 409, description = "A different message with this identifier was received before"),
    ),
)]
pub(in crate::http) async fn receive(
    state: HttpState,
    context: RequestContext,
    request: HttpRequest,
    payload: Payload,
) -> HandlerResult {
    let settings = &state.resources.settings;
    let limit_bytes = settings.webhooks.body_limit_bytes;
    body::check_declared_length(&request, limit_bytes)?;
    let signature = senders::signature(request.headers()).ok_or_else(|| unauthenticated(&state))?;
    let body = body::raw(&request, &settings.server, payload.into_inner(), limit_bytes).await?;
    let now = state.resources.clock.now();
    let countries = state.webhooks.senders.authenticate(&signature, &body, now);
    if countries.is_empty() {
        return Err(unauthenticated(&state));
    }
    let sender = sole_bureau(&countries);
    if let Some(bureau) = sender {
        limits::check_subject(&request, bureau).await?;
    }
    let (key, confirmation) = read(&state, &signature, &body).inspect_err(|_| {
        state.webhooks.receiver.count(sender.unwrap_or(UNKNOWN_PROVIDER), MessageResult::Invalid);
    })?;
    let bureau = match sender {
        Some(bureau) => bureau,
        None => {
            let bureau = state.webhooks.receiver.bureau_of(confirmation.application_id, &countries).await?;
            limits::check_subject(&request, bureau).await?;
            bureau
        }
    };
    let message = VerifiedMessage {
        countries,
        bureau,
        key,
        confirmation,
        body,
        request_id: context.request_id,
        traceparent: Some(context.traceparent),
    };
    let receipt = state.lending.confirm(&state.webhooks.receiver, &message).await?;
    Ok(HttpResponse::Ok().json(WebhookReceipt::from(receipt)))
}

/// The same response for every invalid signature, which does not reveal what is wrong with it.
fn unauthenticated(state: &HttpState) -> Rejection {
    state.webhooks.receiver.count(UNKNOWN_PROVIDER, MessageResult::Unauthenticated);
    senders::unauthenticated().into()
}

/// Reads a verified body and determines the key that identifies the message.
fn read(state: &HttpState, signature: &Signature, body: &Bytes) -> Result<(String, Confirmation)> {
    let resources = &state.resources;
    let (now, tolerance) = (resources.clock.now(), resources.settings.webhooks.tolerance());
    let confirmation = parse(body.clone())?;
    confirmation.check_not_ahead(now, TimeDelta::from_std(tolerance).unwrap_or_default())?;
    let key = match signature {
        Signature::Standard(signature) => format!("id/{}", signature.id()),
        Signature::Legacy(_) => {
            confirmation.check_legacy_age(now)?;
            format!("reference/{}", confirmation.provider_reference)
        }
    };
    Ok((key, confirmation))
}

fn parse(body: Bytes) -> Result<Confirmation> {
    Ok(BankConfirmation::read(JsonObject::check(body)?.members()?)?.into())
}

impl From<BankConfirmation> for Confirmation {
    fn from(sent: BankConfirmation) -> Self {
        Self {
            provider_reference: sent.provider_reference,
            application_id: sent.application_id,
            outcome: sent.outcome,
            credit_score: sent.credit_score,
            total_debt: sent.total_debt,
            monthly_obligations: sent.monthly_obligations,
            has_defaults: sent.has_defaults,
            account_status: sent.account_status,
            average_monthly_income: sent.average_monthly_income,
            verified: sent.verified,
            reason: sent.reason,
            occurred_at: sent.occurred_at,
        }
    }
}

fn provider_reference(text: &str) -> Result<String, Refusal> {
    let refusal = || {
        (
            "bad_reference",
            format!("must be 1 to {MAX_REFERENCE_CHARS} visible ASCII characters without spaces"),
        )
    };
    parse_reference(text).ok_or_else(refusal)
}

fn hyphenated_id(text: &str) -> Result<ApplicationId, Refusal> {
    let is_hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
    application_id(text).and_then(|id| is_hyphenated.then_some(id).ok_or_else(bad_uuid))
}

fn outcome(text: &str) -> Result<ReportedOutcome, Refusal> {
    let refusal = || ("unknown_outcome", "must be confirmed, rejected or needs_review".to_owned());
    ReportedOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or_else(refusal)
}

fn event_time(text: &str) -> Result<DateTime<Utc>, Refusal> {
    let refusal = || ("bad_time", "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z".to_owned());
    let in_calendar = |time: &DateTime<FixedOffset>| (1970..=9999).contains(&time.year());
    let time = DateTime::parse_from_rfc3339(text).ok().filter(in_calendar).ok_or_else(refusal)?;
    Ok(time.to_utc())
}

/// The bureau of a sender with one country. If several countries share a secret, the application determines the bureau.
fn sole_bureau(countries: &[Country]) -> Option<&'static str> {
    match countries {
        [country] => Some(provider_for(*country).name()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn read(json: &str) -> Result<Confirmation, Vec<(String, &'static str)>> {
        parse(Bytes::copy_from_slice(json.as_bytes())).map_err(|error| match error {
            Error::Validation(fields) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{other:?}"),
        })
    }

    fn with(members: &str) -> String {
        format!(
            r#"{{"provider_reference": "ES-1", "application_id": "{ID}", "outcome": "confirmed",
                "occurred_at": "2026-01-31T12:00:00+01:00"{members}}}"#
        )
    }

    #[test]
    fn optional_values_may_be_omitted() {
        let short = read(&with("")).unwrap();
        assert_eq!((short.outcome, short.credit_score), (ReportedOutcome::Confirmed, None));
        assert_eq!(short.occurred_at.to_rfc3339(), "2026-01-31T11:00:00+00:00");
        let full = read(&with(
            r#", "credit_score": 700, "total_debt": 9000, "monthly_obligations": "300.50", "has_defaults": false,
               "account_status": "active", "average_monthly_income": "2500", "verified": true, "reason": "ok""#,
        ))
        .unwrap();
        assert_eq!(full.monthly_obligations.unwrap().to_string(), "300.50");
        assert_eq!(full.total_debt.unwrap().to_string(), "9000.00");
        assert_eq!((full.account_status, full.verified), (Some(AccountStatus::Active), Some(true)));
    }

    #[test]
    fn all_field_errors_of_a_payload_are_reported_together() {
        let field_errors = read(
            r#"{"provider_reference": "a b", "application_id": "7", "outcome": "CONFIRMED", "credit_score": 851,
                "total_debt": "-1", "monthly_obligations": 1e3, "has_defaults": "no", "account_status": 1,
                "average_monthly_income": "1.234", "verified": 0, "reason": "a\u0000", "occurred_at": "yesterday",
                "amount": 1}"#,
        )
        .unwrap_err();
        let expected = [
            ("/provider_reference", "bad_reference"),
            ("/application_id", "bad_uuid"),
            ("/outcome", "unknown_outcome"),
            ("/credit_score", "out_of_range"),
            ("/total_debt", "bad_amount"),
            ("/monthly_obligations", "bad_amount"),
            ("/has_defaults", "bad_type"),
            ("/account_status", "bad_type"),
            ("/average_monthly_income", "bad_amount"),
            ("/verified", "bad_type"),
            ("/reason", "bad_reason"),
            ("/occurred_at", "bad_time"),
            ("/amount", "unknown_field"),
        ];
        assert_eq!(field_errors, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
        assert_eq!(read("{}").unwrap_err().len(), 4);
    }
}
