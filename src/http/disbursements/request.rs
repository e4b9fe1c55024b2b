//! `POST /api/v1/applications/{id}/disbursements`

use actix_web::http::{StatusCode, header};

use super::view::DisbursementView;
use crate::domain::disbursement::history::Disbursement;
use crate::domain::disbursement::rail::DestinationKind;
use crate::domain::personal_data::FullName;
use crate::error::Result;
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::extract::ApplicationPath;
use crate::http::idempotency::{self, Idempotency, Reply};
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::{full_name, text};
use crate::json::{Refusal, object, string};
use crate::lending::Caller;
use crate::lending::disburse::request::RequestedDestination;

request_body! {
    /// A disbursement to request.
    pub struct DisbursementRequest {
        /// Where the amount is paid to.
        destination: DestinationRequest = required(|raw| DestinationRequest::read(object(raw)?)),
    }
}

request_body! {
    /// An account or key of the applicant.
    pub struct DestinationRequest {
        /// `iban` for ES, PT and IT, `clabe` for MX, `pix` for BR, `co_account` for CO.
        #[schema(value_type = crate::http::schemas::DestinationKindName)]
        kind: DestinationKind = required(text(kind)),
        /// The account number or key; spaces, points, hyphens and slashes are ignored where they only separate.
        #[schema(max_length = 100, example = "ES91 2100 0418 4502 0005 1332")]
        value: String = required(string),
        /// The name of the holder. If it is not the applicant's, a second person must approve the payment.
        #[schema(value_type = String, max_length = 255, example = "María García López")]
        holder_name: FullName = required(text(full_name)),
    }
}

/// Begins to pay out an approved application.
///
/// The answer does not wait for the payment: read the disbursement, or its events. An application has at most one
/// disbursement that was not cancelled or returned.
#[utoipa::path(
    post,
    path = "/api/v1/applications/{id}/disbursements",
    operation_id = "request_disbursement",
    tag = "disbursements",
    params(("id" = uuid::Uuid, Path, description = "Identifier of the application"), Idempotency),
    request_body(
        content = DisbursementRequest,
        example = json!({"destination": {
            "kind": "iban", "value": "ES9121000418450200051332", "holder_name": "María García López",
        }}),
    ),
    responses(
        (status = 202, description = "The disbursement has begun", body = DisbursementView,
            headers(("Location" = String, description = "Path of the disbursement"))),
        (status = 400, description = "The header Idempotency-Key is missing"),
        (status = 404, description = "Application not found, or not visible to the caller"),
        (status = 409, description = "The application is not approved or has a disbursement, or a request with the same Idempotency-Key is in progress"),
        (status = 422, description = "Invalid destination, or the Idempotency-Key has been used for a different request"),
    ),
)]
pub(in crate::http) async fn request(
    state: HttpState,
    caller: Caller,
    idempotency: Idempotency,
    ApplicationPath(id): ApplicationPath,
    body: JsonObject,
) -> HandlerResult {
    idempotency.require()?;
    let DestinationRequest { kind, value, holder_name } =
        DisbursementRequest::read(body.members()?)?.destination;
    let destination =
        RequestedDestination { kind, value, holder_name: holder_name.reveal().to_owned() }.validate()?;
    let keyed = idempotency.keyed(&state, &caller.account, body.as_bytes(), &reply);
    let made = state.lending.disburse(&caller, id, &destination, keyed.as_ref()).await?;
    idempotency::respond(state.keys(), keyed.as_ref(), made, reply)
}

fn reply(begun: &Disbursement) -> Result<Reply> {
    let location = format!("/api/v1/disbursements/{}", begun.id);
    Ok(Reply::json(StatusCode::ACCEPTED, &DisbursementView::from(begun))?
        .with_header(&header::LOCATION, location))
}

fn kind(text: &str) -> Result<DestinationKind, Refusal> {
    let names = || DestinationKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    text.parse().map_err(|_unknown| ("unknown_value", format!("must be one of {}", names())))
}
