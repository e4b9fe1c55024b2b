//! `PATCH /api/v1/applications/{id}`, and what all changes by people share.

use std::cell::Cell;

use actix_web::http::{StatusCode, header};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::country_data;
use super::view::ApplicationView;
use crate::actors::write_batcher::Written;
use crate::domain::application::{Application, Attribution, Country};
use crate::domain::ids::{ApplicationId, ChangeId};
use crate::domain::members::{Fields, Members, Problems, Refusal, string};
use crate::domain::status::{Initiator, Status, UnknownStatus};
use crate::error::{Error, FieldError, PublicMessage, Result};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::conditional::{Conditions, etag};
use crate::http::extract::{ApplicationPath, RequestContext};
use crate::http::idempotency::{self, Once, Reply};
use crate::http::problem::{Answer, Rejection};
use crate::http::staff_views::Viewed;
use crate::storage::applications::{self, Change};
use crate::storage::idempotency::KeyedWrite;

/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 500;
/// Longest internal note, in characters.
const MAX_NOTE_CHARS: usize = 2000;

/// A status to go to.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct StatusRequest {
    /// Where to.
    #[schema(value_type = crate::http::schemas::ApplicationStatus, example = "CANCELLED")]
    status: Status,
    /// Why: kept in the audit trail, where the applicant may read it.
    #[schema(max_length = 500, example = "Withdrawn by the applicant")]
    reason: Option<String>,
    /// What staff note for staff: kept in the audit trail, hidden from the applicant. For staff alone.
    #[schema(max_length = 2000, example = "Called the employer on 12 May")]
    internal_note: Option<String>,
}

/// A JSON Merge Patch (RFC 7396): either a status to go to, or data to change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct PatchRequest {
    /// Where to.
    #[schema(value_type = Option<crate::http::schemas::ApplicationStatus>, example = "CANCELLED")]
    status: Option<Status>,
    /// Members to add, to replace or, by `null`, to remove, at least one, of those that the country declares
    /// (`GET /countries/{code}`); `birth_date` and `sex` are set at creation alone. For the owner until the decision.
    #[schema(value_type = Option<Object>)]
    country_specific_data: Option<serde_json::Value>,
    /// Why: kept in the audit trail, where the applicant may read it.
    #[schema(max_length = 500, example = "Withdrawn by the applicant")]
    reason: Option<String>,
    /// What staff note for staff: kept in the audit trail, hidden from the applicant. For staff alone.
    #[schema(max_length = 2000, example = "Called the employer on 12 May")]
    internal_note: Option<String>,
}

/// Which changes a route knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// A status.
    Status,
    /// A status, or data of the application's country, which is looked up only for a body that has data.
    StatusOrData(Option<Country>),
}

/// A change and why it is asked for.
#[derive(Debug)]
pub(super) struct ChangeRequest {
    pub(super) change: Change,
    pub(super) reason: Option<String>,
    /// What staff note for staff.
    pub(super) internal_note: Option<String>,
}

impl From<Change> for ChangeRequest {
    fn from(change: Change) -> Self {
        Self { change, reason: None, internal_note: None }
    }
}

impl ChangeRequest {
    /// Reads a body of `mover` that asks for a status.
    ///
    /// # Errors
    /// [`Error::Validation`] with everything that is wrong with it.
    pub(super) fn read_status(body: &JsonObject, mover: Initiator) -> Result<Self> {
        Self::read(body, mover, Wanted::Status)
    }

    /// Reads a body of `mover` that may have data. `country` is the application's, and needed where it has.
    fn read(body: &JsonObject, mover: Initiator, wanted: Wanted) -> Result<Self> {
        let mut problems = Problems::default();
        let mut fields = Fields::new(body.members()?, "", &mut problems);
        let reason = fields.optional("reason", reason);
        let internal_note = fields.optional("internal_note", note);
        if internal_note.is_some() && mover != Initiator::Staff {
            fields.refuse("internal_note", "staff_only", "is for staff alone");
        }
        let (asked, untold) = match wanted {
            Wanted::Status => (fields.required("status", status).map(Asked::Status), None),
            Wanted::StatusOrData(country) => {
                let status = fields.changed("status", status);
                let data = fields.changed("country_specific_data", country_data::bounded);
                match (status, data) {
                    (Some(_), Some(_)) => {
                        fields.refuse(
                            "status",
                            "ambiguous",
                            "cannot change together with country_specific_data",
                        );
                        (None, None)
                    }
                    (Some(status), None) => (Some(Asked::Status(status)), None),
                    (None, Some(data)) => (country.map(|country| Asked::Data(country, data)), None),
                    (None, None) => {
                        (None, Some(FieldError::new("", "required", "needs status or country_specific_data")))
                    }
                }
            }
        };
        fields.refuse_the_rest();
        if problems.0.is_empty() {
            problems.0.extend(untold);
        }
        let change = asked.map(|asked| match asked {
            Asked::Status(status) => Change::Status(status),
            Asked::Data(country, members) => {
                Change::CountryData(country_data::read_change(country, &members, &mut problems))
            }
        });
        match (change, problems.0.is_empty()) {
            (Some(change), true) => Ok(Self { change, reason, internal_note }),
            _ => Err(Error::Validation(problems.0)),
        }
    }
}

/// A change as it was sent.
enum Asked<'a> {
    Status(Status),
    Data(Country, Members<'a>),
}

fn status(raw: &RawValue) -> Result<Status, Refusal> {
    let refusal = |UnknownStatus| {
        ("unknown_status", format!("must be one of {}", Status::ALL.map(Status::as_str).join(", ")))
    };
    string(raw)?.parse().map_err(refusal)
}

/// Why somebody does something, in a sentence that others will read.
///
/// # Errors
/// A refusal of a text that is too long or holds control characters.
pub(in crate::http) fn reason(raw: &RawValue) -> Result<String, Refusal> {
    let text = string(raw)?;
    let fits = text.chars().count() <= MAX_REASON_CHARS && !text.chars().any(char::is_control);
    let refusal = || {
        (
            "bad_reason",
            format!("must be at most {MAX_REASON_CHARS} characters, none of them a control character"),
        )
    };
    if fits { Ok(text) } else { Err(refusal()) }
}

/// What staff note for staff, which may have lines.
fn note(raw: &RawValue) -> Result<String, Refusal> {
    let text = string(raw)?;
    let is_control = |c: char| c.is_control() && c != '\n';
    let fits =
        !text.trim().is_empty() && text.chars().count() <= MAX_NOTE_CHARS && !text.contains(is_control);
    let refusal =
        || ("bad_note", format!("must be 1 to {MAX_NOTE_CHARS} characters, without control characters"));
    if fits { Ok(text) } else { Err(refusal()) }
}

/// Changes an application: its status, or its country's data.
#[utoipa::path(
    patch,
    path = "/api/v1/applications/{id}",
    operation_id = "change_application",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "The application"),
        ("If-Match" = Option<String>, Header, description = "The ETag that the change is meant for"),
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
            headers(("ETag" = String, description = "Its version")),
        ),
        (status = 404, description = "There is none, or not for this caller"),
        (
            status = 409,
            description = "The status machine does not know this change, the data of a decided application are its \
                owner's no more, or the application is archived (`archived`)",
        ),
        (status = 412, description = "It has changed meanwhile"),
    ),
)]
pub(in crate::http) async fn change(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    ApplicationPath(id): ApplicationPath,
    conditions: Conditions,
    body: JsonObject,
) -> Answer {
    let country = if body.members()?.has("country_specific_data") {
        let visibility = principal.visibility_for_changes();
        let read = async |connection: &mut _| applications::country(connection, id, &visibility).await;
        Some(state.resources.database.run(read).await?)
    } else {
        None
    };
    let request = ChangeRequest::read(&body, principal.mover(), Wanted::StatusOrData(country))?;
    apply(&state, &principal, context, id, &conditions, &request, None).await?.response()
}

/// The answer to a change: the application as it is now.
fn reply(changed: Application) -> Result<Reply> {
    let tag = etag(changed.version);
    Ok(Reply::json(StatusCode::OK, &ApplicationView::from(changed))?.with_header(&header::ETAG, tag))
}

/// Makes a change in a transaction of its own, once for its key where it has one, and tells who waits for it. An answer
/// that shows the application is a look at it, and noted as one.
///
/// # Errors
/// [`Rejection::PreconditionFailed`] when `If-Match` names another version, and what `storage::applications::change`
/// says.
pub(super) async fn apply(
    state: &HttpState,
    principal: &Principal,
    context: RequestContext,
    id: ApplicationId,
    conditions: &Conditions,
    request: &ChangeRequest,
    write: Option<&KeyedWrite>,
) -> Result<Once, Rejection> {
    let resources = &state.resources;
    let attribution = Attribution {
        change_id: ChangeId::new(resources.clock.new_uuid()),
        changed_by: principal.account.clone(),
        reason: request.reason.clone(),
        request_id: Some(context.request_id.clone()),
    };
    let (change, visibility, mover) =
        (&request.change, principal.visibility_for_changes(), principal.mover());
    let (traceparent, note) = (context.traceparent.as_deref(), request.internal_note.as_deref());
    let keys = resources.database.keys();
    // The transaction can only fail with an error of the house; this tells a stale version from the others.
    let stale = Cell::new(false);
    let unless_stale = |version: i64| {
        stale.set(!conditions.allow_change(version));
        if stale.get() { Err(Error::Conflict(PublicMessage::new("stale"))) } else { Ok(()) }
    };
    let made_now = Cell::new(None);
    let made = idempotency::once(state, "change_application", write, async |connection| {
        // Before anything is said about the change itself; a deleted application has no version to compare.
        if conditions.restrict_changes() && !matches!(change, Change::Restore) {
            unless_stale(applications::get(connection, keys, id, &visibility).await?.version)?;
        }
        let changed = applications::change(
            connection,
            keys,
            id,
            &visibility,
            mover,
            change,
            &attribution,
            note,
            traceparent,
        )
        .await?;
        // Somebody may have changed it before it was locked.
        unless_stale(changed.version - 1)?;
        check_size(&changed)?;
        made_now.set(Some((changed.created_by.clone(), changed.version)));
        Ok(reply(changed)?)
    });
    match made.await {
        Ok(made) => {
            let made_now = made_now.take();
            if let Some((owner, version)) = &made_now {
                state.cache.note_change(id, *version, owner);
            }
            (state.on_commit)(Written { jobs: matches!(change, Change::Restore), events: true });
            if !matches!(change, Change::Delete) {
                let owner = match made_now {
                    Some((owner, _)) => owner,
                    // The answer was given before, and nothing was read now.
                    None => {
                        resources
                            .database
                            .run(async |connection| applications::owner(connection, id).await)
                            .await?
                    }
                };
                state.note_view(principal, &context, Viewed::Changed(id, &owner));
            }
            Ok(made)
        }
        Err(_) if stale.get() => Err(Rejection::PreconditionFailed),
        Err(rejection) => Err(rejection),
    }
}

/// Data that is added again and again must stay within its bound too.
fn check_size(changed: &Application) -> Result<()> {
    let bytes = serde_json::to_vec(&changed.country_specific_data).map_err(Error::internal)?.len();
    let sealed = changed.personal_data.to_storage().map_or(0, |text| text.len());
    if bytes + sealed > country_data::MAX_BYTES {
        let detail = format!("would be more than {} bytes of JSON in all", country_data::MAX_BYTES);
        return Err(Error::field("/country_specific_data", "too_large", detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::web::Bytes;

    const DATA: Wanted = Wanted::StatusOrData(Some(Country::Es));

    fn read_as(
        mover: Initiator,
        json: &str,
        wanted: Wanted,
    ) -> Result<ChangeRequest, Vec<(String, &'static str)>> {
        let body = JsonObject::check(Bytes::copy_from_slice(json.as_bytes())).unwrap();
        ChangeRequest::read(&body, mover, wanted).map_err(|error| match error {
            Error::Validation(fields) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{other:?}"),
        })
    }

    fn read(json: &str, wanted: Wanted) -> Result<ChangeRequest, Vec<(String, &'static str)>> {
        read_as(Initiator::Owner, json, wanted)
    }

    #[test]
    fn a_change_is_a_status_or_data_and_may_say_why() {
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
    fn a_note_is_for_staff_alone() {
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
    fn a_change_that_is_none_or_two_or_unknown_is_refused_by_name() {
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
