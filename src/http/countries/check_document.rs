//! `POST /api/v1/countries/{code}/document-checks`

use actix_web::HttpResponse;

use crate::countries::DocumentVerdict;
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::extract::CountryPath;
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::json::string;

request_body! {
    /// A document to check.
    pub struct DocumentCheckRequest {
        /// The identity document. Separators are ignored. The former name, `document`, is deprecated and still
        /// accepted.
        #[schema(max_length = 50, example = "12345678-Z")]
        identity_document: String = required_or_deprecated("document", string),
    }
}

/// Checks an identity document.
///
/// Returns whether an applicant may use the document. Nothing is stored. For an invalid document the response is a
/// verdict, not an error.
#[utoipa::path(
    post,
    path = "/api/v1/countries/{code}/document-checks",
    operation_id = "check_document",
    tag = "countries",
    request_body = DocumentCheckRequest,
    params(
        ("code" = crate::http::schemas::CountryCode, Path, description = "The country, as an ISO 3166-1 alpha-2 code; case is ignored"),
    ),
    responses(
        (status = 200, description = "The verdict", body = DocumentVerdict),
        (status = 404, description = "Country not supported"),
        (status = 422, description = "The document is missing or is not a string"),
    ),
)]
pub(in crate::http) async fn check_document(
    state: HttpState,
    CountryPath(country): CountryPath,
    body: JsonObject,
) -> HandlerResult {
    let document = DocumentCheckRequest::read(body.members()?)?.identity_document;
    let verdict = state.countries.rules(country).check_document(&document, state.resources.clock.now());
    Ok(HttpResponse::Ok().json(verdict))
}
