//! `PATCH /api/v1/applications/{id}`, and code shared by all changes to applications.

use actix_web::http::{StatusCode, header};
use serde_json::value::RawValue;

use super::country_data;
use super::view::ApplicationView;
use crate::domain::application::{Application, Country, DataChange};
use crate::domain::ids::ApplicationId;
use crate::domain::status::{Initiator, Status};
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::conditional::{Conditions, etag};
use crate::http::extract::ApplicationPath;
use crate::http::idempotency::{self, Reply};
use crate::http::problem::HandlerResult;
use crate::http::request::values::{reason, status, text};
use crate::http::request::{Refusals, request_body};
use crate::json::{Refusal, string};
use crate::lending::Caller;
use crate::lending::change::{Change, ChangeRequest};

/// Maximum length of an internal note, in characters.
const MAX_NOTE_CHARS: usize = 2000;

request_body! {
    /// A change of status.
    pub struct StatusRequest given(initiator: Initiator) {
        /// The new status.
        #[schema(value_type = crate::http::schemas::ApplicationStatus, example = "CANCELLED")]
        status: Status = required(text(status)),
        /// The reason for the change. It is recorded in the audit trail, where the owner may see it.
        #[schema(max_length = 500, example = "Withdrawn by the applicant")]
        reason: Option<String> = optional(reason),
        /// A note for staff. It is recorded in the audit trail and hidden from the owner. Only staff can set it.
        #[schema(max_length = 2000, example = "Called the employer on 12 May")]
        internal_note: Option<String> = optional(|raw| note(raw, initiator)),
    }
}

request_body! {
    /// A JSON Merge Patch (RFC 7396) with either a new status or changes to the country's data.
    pub struct PatchRequest given(country: Option<Country>, initiator: Initiator) {
        /// The new status.
        #[schema(value_type = Option<crate::http::schemas::ApplicationStatus>, example = "CANCELLED")]
        status: Option<Status> = changed(text(status)) then(|status| check_alone(status, country_specific_data.is_some())),
        /// Members to add or replace, or with `null` to remove; at least one. `GET /countries/{code}` lists the allowed
        /// members; `birth_date` and `sex` can only be set on creation. The owner can change them until the decision.
        #[schema(value_type = Option<Object>)]
        country_specific_data: Option<DataChange> = changed(|raw| data_change(raw, country.filter(|_| status.is_none()))),
        /// The reason for the change. It is recorded in the audit trail, where the owner may see it.
        #[schema(max_length = 500, example = "Withdrawn by the applicant")]
        reason: Option<String> = optional(reason),
        /// A note for staff. It is recorded in the audit trail and hidden from the owner. Only staff can set it.
        #[schema(max_length = 2000, example = "Called the employer on 12 May")]
        internal_note: Option<String> = optional(|raw| note(raw, initiator)),
    }
}

impl From<StatusRequest> for ChangeRequest {
    fn from(StatusRequest { status, reason, internal_note }: StatusRequest) -> Self {
        Self { change: Change::Status(status), reason, internal_note, expected: None }
    }
}

impl TryFrom<PatchRequest> for ChangeRequest {
    type Error = Error;

    fn try_from(request: PatchRequest) -> Result<Self> {
        let PatchRequest { status, country_specific_data, reason, internal_note } = request;
        let change = status.map(Change::Status).or(country_specific_data.map(Change::CountryData));
        let missing = || Error::field("", "required", "must contain status or country_specific_data");
        Ok(Self { change: change.ok_or_else(missing)?, reason, internal_note, expected: None })
    }
}

/// Refuses a status together with data.
fn check_alone(status: Status, has_data: bool) -> Result<Status, Refusal> {
    if has_data {
        return Err(("ambiguous", "cannot be combined with country_specific_data".to_owned()));
    }
    Ok(status)
}

/// Reads data of `country`. If the country is unknown, only type and length are checked.
fn data_change(raw: &RawValue, country: Option<Country>) -> Result<DataChange, Refusals> {
    let members = country_data::bounded(raw)?;
    country.map_or_else(|| Ok(DataChange::default()), |country| country_data::read_change(country, &members))
}

/// Reads an internal note, which may have several lines.
fn note(raw: &RawValue, initiator: Initiator) -> Result<String, Refusal> {
    let text = string(raw)?;
    let is_control = |c: char| c.is_control() && c != '\n';
    let fits =
        !text.trim().is_empty() && text.chars().count() <= MAX_NOTE_CHARS && !text.contains(is_control);
    if !fits {
        let detail = format!("must be 1 to {MAX_NOTE_CHARS} characters, without control characters");
        return Err(("bad_note", detail));
    }
    if initiator != Initiator::Staff {
        return Err(("staff_only", "is only available to staff".to_owned()));
    }
    Ok(text)
}

/// Changes the status of an application or its country's data.
#[utoipa::path(
    patch,
    path = "/api/v1/applications/{id}",
    operation_id = "change_application",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "Identifier of the application"),
        ("If-Match" = Option<String>, Header, description = "Apply the change only if the application still has this ETag"),
    ),
    request_body(
        content = PatchRequest,
        example = json!({"status": "CANCELLED", "reason": "Withdrawn by the applicant"}),
    ),
    responses(
        (
            status = 200,
            description = "The application after the change",
            body = ApplicationView,
            headers(("ETag" = String, description = "Version of the application")),
        ),
        (status = 404, description = "Application not found, or not visible to the caller"),
        (
            status = 409,
            description = "The transition is not allowed, the owner cannot change the data because the application \
                has been decided, another account reviews the application (`assigned_to_another`), or the application is \
                archived (`archived`)",
        ),
        (status = 412, description = "The application no longer has the given ETag"),
    ),
)]
pub(in crate::http) async fn change(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
    body: JsonObject,
) -> HandlerResult {
    let country = if body.members()?.get("country_specific_data").is_some() {
        Some(state.lending.country_to_change(&caller, id).await?)
    } else {
        None
    };
    let request = PatchRequest::read(body.members()?, country, caller.initiator)?;
    apply(&state, &caller, id, &conditions, request.try_into()?).await
}

/// Applies a change without an Idempotency-Key and responds with the application.
pub(super) async fn apply(
    state: &HttpState,
    caller: &Caller,
    id: ApplicationId,
    conditions: &Conditions,
    request: ChangeRequest,
) -> HandlerResult {
    let request = ChangeRequest { expected: conditions.expected_version(), ..request };
    let made = state.lending.change(caller, id, &request, None).await?;
    idempotency::respond(state.keys(), None, made, reply)
}

/// The response to a change: the application after the change.
pub(super) fn reply(changed: &Application) -> Result<Reply> {
    let tag = etag(changed.version);
    Ok(Reply::json(StatusCode::OK, &ApplicationView::from(changed.clone()))?.with_header(&header::ETAG, tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::web::Bytes;

    /// The members that a route accepts: only a status, or either a status or data.
    #[derive(Clone, Copy)]
    enum Wanted {
        Status,
        StatusOrData,
    }

    const DATA: Wanted = Wanted::StatusOrData;

    fn read_as(
        initiator: Initiator,
        json: &str,
        wanted: Wanted,
    ) -> Result<ChangeRequest, Vec<(String, &'static str)>> {
        let body = JsonObject::check(Bytes::copy_from_slice(json.as_bytes())).unwrap();
        let members = body.members().unwrap();
        let request: Result<ChangeRequest> = match wanted {
            Wanted::Status => StatusRequest::read(members, initiator).map(Into::into).map_err(Error::from),
            Wanted::StatusOrData => PatchRequest::read(members, Some(Country::Es), initiator)
                .map_err(Error::from)
                .and_then(TryInto::try_into),
        };
        request.map_err(|error| match error {
            Error::Validation(fields) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{other:?}"),
        })
    }

    fn read(json: &str, wanted: Wanted) -> Result<ChangeRequest, Vec<(String, &'static str)>> {
        read_as(Initiator::Owner, json, wanted)
    }

    #[test]
    fn a_change_has_a_status_or_data_and_an_optional_reason() {
        let request = read(r#"{"status": "CANCELLED", "reason": "withdrawn"}"#, DATA).unwrap();
        assert!(matches!(request.change, Change::Status(Status::Cancelled)));
        assert_eq!(request.reason.as_deref(), Some("withdrawn"));
        let data = r#"{"country_specific_data": {"employer": "Acme", "email": null}, "reason": null}"#;
        let request = read(data, DATA).unwrap();
        let Change::CountryData(change) = request.change else { panic!("no data") };
        assert_eq!(change.open, [("employer", Some("Acme".into()))]);
        assert_eq!(change.personal, [("email", None)]);
        assert!(read(r#"{"status": "APPROVED"}"#, Wanted::Status).is_ok());
    }

    #[test]
    fn only_staff_can_set_a_note() {
        let json = r#"{"status": "APPROVED", "internal_note": "called\nthe employer"}"#;
        let request = read_as(Initiator::Staff, json, Wanted::Status).unwrap();
        assert_eq!(request.internal_note.as_deref(), Some("called\nthe employer"));
        let refused = read(json, Wanted::Status).unwrap_err();
        assert_eq!(refused, [("/internal_note".to_owned(), "staff_only")]);
        for text in ["", "a\\u0000b", &"x".repeat(2001)] {
            let json = format!(r#"{{"status": "APPROVED", "internal_note": "{text}"}}"#);
            let refused = read_as(Initiator::Staff, &json, Wanted::Status).unwrap_err();
            assert_eq!(refused, [("/internal_note".to_owned(), "bad_note")]);
        }
    }

    #[test]
    fn an_empty_ambiguous_or_unknown_change_is_refused_with_its_pointer() {
        let long = format!(r#"{{"status": "CANCELLED", "reason": "{}"}}"#, "x".repeat(501));
        for (json, wanted, pointer, code) in [
            ("{}", DATA, "", "required"),
            (r#"{"reason": "x"}"#, DATA, "", "required"),
            (r#"{"status": null}"#, DATA, "/status", "required"),
            (r#"{"country_specific_data": null}"#, DATA, "/country_specific_data", "required"),
            (r#"{"status": "CANCELLED", "country_specific_data": {"a": 1}}"#, DATA, "/status", "ambiguous"),
            (r#"{"status": "CANCELLED", "amount": 1}"#, DATA, "/amount", "unknown_field"),
            (r#"{"status": "cancelled"}"#, DATA, "/status", "unknown_status"),
            (r#"{"status": ["CANCELLED"]}"#, DATA, "/status", "bad_type"),
            (r#"{"status": "CANCELLED", "reason": "a\u0000b"}"#, DATA, "/reason", "bad_reason"),
            (&long, DATA, "/reason", "bad_reason"),
            (
                r#"{"country_specific_data": {"sex": "male"}}"#,
                DATA,
                "/country_specific_data/sex",
                "read_only",
            ),
            (r#"{"country_specific_data": {"a": 1}}"#, DATA, "/country_specific_data/a", "unknown_field"),
            (r#"{"country_specific_data": {}}"#, DATA, "/country_specific_data", "required"),
            (r#"{"country_specific_data": []}"#, DATA, "/country_specific_data", "bad_type"),
            ("{}", Wanted::Status, "/status", "required"),
        ] {
            assert_eq!(read(json, wanted).unwrap_err(), [(pointer.to_owned(), code)], "{json:.60}");
        }
        let both =
            read(r#"{"status": "APPROVED", "country_specific_data": {}}"#, Wanted::Status).unwrap_err();
        assert_eq!(both, [("/country_specific_data".to_owned(), "unknown_field")]);
    }
}
