//! `POST /api/v1/webhooks/payment-report`: what a rail reports about a payment.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::disbursement::rail::PaymentStatus;
use crate::domain::disbursement::workflow::State;
use crate::http::HttpState;
use crate::http::body::{self, JsonObject};
use crate::http::extract::RequestContext;
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::{identifier, text, uuid};
use crate::http::webhooks::senders;
use crate::json::Refusal;
use crate::lending::disburse::confirm::{PaymentReport, ReportReceipt};
use crate::providers::signature::Signature;

request_body! {
    /// A report about a payment.
    pub struct PaymentReportRequest {
        /// The key under which Aval sent the payment.
        payment_key: Uuid = required(text(uuid)),
        /// `accepted`, `settled`, `rejected` or `returned`.
        #[schema(value_type = crate::http::schemas::PaymentStatusName)]
        status: PaymentStatus = required(text(status)),
        /// The rail's reason code.
        #[schema(example = "AC04")]
        reason: Option<String> = optional(text(identifier)),
        /// The rail's reference of the payment.
        #[schema(example = "SIM0190a5d2e7c1")]
        reference: Option<String> = optional(text(identifier)),
    }
}

/// The result of a report.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentReportReceipt {
    /// Whether the same message was applied before; if so, nothing was changed.
    #[schema(example = false)]
    duplicate: bool,
    /// Whether the message changed the disbursement.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disbursement_id: Option<Uuid>,
    /// The state of the disbursement.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::http::schemas::DisbursementState>)]
    status: Option<State>,
}

impl From<ReportReceipt> for PaymentReportReceipt {
    fn from(receipt: ReportReceipt) -> Self {
        let (duplicate, applied, found) = match receipt {
            ReportReceipt::Applied(id, state) => (false, Some(true), Some((id, state))),
            ReportReceipt::Ignored(id, state) => (false, Some(false), Some((id, state))),
            ReportReceipt::Duplicate => (true, None, None),
        };
        let (disbursement_id, status) = found.unzip();
        Self { duplicate, applied, disbursement_id, status }
    }
}

/// Receives a report of a payment rail.
///
/// Requests are signed as in Standard Webhooks, with the secret of the country. After any response other than 2xx, send the
/// message again with the same `webhook-id`. A message that the state of the disbursement does not permit gets a 409.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/payment-report",
    operation_id = "receive_payment_report",
    tag = "webhooks",
    params(
        ("webhook-id" = Option<String>, Header, description = "Identifier of the message; the same for every attempt"),
        ("webhook-timestamp" = Option<String>, Header, description = "Unix time in seconds when this attempt was signed"),
        ("webhook-signature" = Option<String>, Header, description = "`v1,` and the signature in Base64; several are separated by spaces"),
    ),
    request_body(
        content = PaymentReportRequest,
        example = json!({"payment_key": "019a5d2e-7c1a-7b3e-9a54-0d7a3c1f5e21", "status": "settled"}),
    ),
    responses(
        (status = 200, description = "The message was processed", body = PaymentReportReceipt),
        (status = 401, description = "The signature is missing or invalid, or its timestamp is too far in the past or future"),
        (status = 404, description = "Payment not found, or not in a country of the sender"),
        (status = 409, description = "The state of the disbursement does not permit the report"),
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
    // Only signatures with an identifier: without one, a repeated message could not be told from a new one.
    let signature = senders::signature(request.headers());
    let Some(Signature::Standard(signature)) = signature else {
        return Err(senders::unauthenticated().into());
    };
    let message_id = signature.id().to_owned();
    let body = body::raw(&request, &settings.server, payload.into_inner(), limit_bytes).await?;
    let now = state.resources.clock.now();
    let countries = state.webhooks.senders.authenticate(&Signature::Standard(signature), &body, now);
    if countries.is_empty() {
        return Err(senders::unauthenticated().into());
    }
    let sent = PaymentReportRequest::read(JsonObject::check(body)?.members()?)?;
    let message = PaymentReport {
        countries,
        message_id,
        payment_key: sent.payment_key,
        status: sent.status,
        reason: sent.reason,
        reference: sent.reference,
        request_id: context.request_id,
        traceparent: Some(context.traceparent),
    };
    let receipt = state.lending.report_payment(&message).await?;
    Ok(HttpResponse::Ok().json(PaymentReportReceipt::from(receipt)))
}

fn status(text: &str) -> Result<PaymentStatus, Refusal> {
    let found = PaymentStatus::REPORTED.into_iter().find(|status| status.as_str() == text);
    found.ok_or_else(|| ("unknown_value", "must be accepted, settled, rejected or returned".to_owned()))
}
