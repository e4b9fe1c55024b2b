//! `POST /api/v1/countries/{code}/document-checks`

use actix_web::HttpResponse;

use crate::countries::DocumentVerdict;
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::extract::CountryPath;
use crate::http::problem::Answer;
use crate::http::request::request_body;
use crate::json::string;

request_body! {
    /// A document to check.
    pub struct DocumentCheckRequest {
        /// As a person would write it, separators included. Its earlier name,
        /// `document`, is deprecated and still accepted.
        #[schema(max_length = 50, example = "12345678-Z")]
        identity_document: String = required_or_deprecated("document", string),
    }
}

/// Whether a document may apply. Nothing is stored; an invalid document is a verdict, not an error.
#[utoipa::path(
    post,
    path = "/api/v1/countries/{code}/document-checks",
    operation_id = "check_document",
    tag = "countries",
    request_body = DocumentCheckRequest,
    params(
        ("code" = crate::http::schemas::CountryCode, Path, description = "ISO 3166-1 alpha-2, in either case"),
    ),
    responses(
        (status = 200, description = "The verdict", body = DocumentVerdict),
        (status = 404, description = "Aval does not lend there"),
        (status = 422, description = "The body has no document"),
    ),
)]
pub(in crate::http) async fn check_document(
    state: HttpState,
    CountryPath(country): CountryPath,
    body: JsonObject,
) -> Answer {
    let document = DocumentCheckRequest::read(body.members()?)?.identity_document;
    let verdict = state.countries.rules(country).check_document(&document, state.resources.clock.now());
    Ok(HttpResponse::Ok().json(verdict))
}
