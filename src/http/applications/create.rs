//! `POST /api/v1/applications`

use std::fmt;

use actix_web::http::{StatusCode, header};
use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::country_data::{self, NewData};
use super::view::ApplicationView;
use crate::countries::{Countries, DocumentedPerson};
use crate::domain::application::{Attribution, Country, NewApplication, TermMonths};
use crate::domain::ids::{ApplicationId, ChangeId};
use crate::domain::members::{Fields, Problems, Refusal, country, positive_money, string, term_months};
use crate::domain::money::Money;
use crate::domain::personal_data::{BirthDate, FullName, IdentityDocument};
use crate::error::{Error, FieldError, Result};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::conditional::etag;
use crate::http::extract::RequestContext;
use crate::http::idempotency::{Idempotency, IdempotencyParameter, Reply, in_flight, replay};
use crate::http::problem::{Answer, Rejection};
use crate::storage::applications::{InsertOutcome, Insertion, held_until};
use crate::telemetry::metrics::Metrics;

/// A new application. Amounts may be JSON numbers or strings; their exact text counts.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct CreateRequest {
    /// Where it is made, in either case.
    #[schema(value_type = crate::http::schemas::CountryCode)]
    country: String,
    /// The applicant's name.
    #[schema(min_length = 1, max_length = 255, example = "Ana García López")]
    full_name: String,
    /// The applicant's document as a person would write it, separators included.
    #[schema(max_length = 50, example = "12345678-Z")]
    identity_document: String,
    /// How much is asked for, in the country's currency.
    #[schema(value_type = crate::http::schemas::PositiveAmount, example = "15000.00")]
    requested_amount: String,
    /// What the applicant declares to earn, in the country's currency.
    #[schema(value_type = crate::http::schemas::PositiveAmount, example = "3500.00")]
    monthly_income: String,
    /// Over how many instalments; 36 when absent.
    #[schema(minimum = 6, maximum = 84, example = 36)]
    term_months: Option<u16>,
    /// Data of the country, at most 16 KiB: the members that `GET /countries/{code}` lists, and no others. `birth_date`
    /// and `sex` are replaced by what the document tells. Personal members are sealed, and shown but for their ends.
    #[schema(value_type = Option<Object>)]
    country_specific_data: Option<Value>,
}

/// Makes an application.
///
/// The document and the money are checked; the answer comes after one commit, with status `PENDING`. Everything that is
/// wrong is told at once. While an application of the same account for the same document is open (neither rejected,
/// cancelled, completed nor deleted), another within 24 h is a 409 that names it and says until when.
#[utoipa::path(
    post,
    path = "/api/v1/applications",
    operation_id = "create_application",
    tag = "applications",
    params(IdempotencyParameter),
    request_body(
        content = CreateRequest,
        example = json!({
            "country": "ES",
            "full_name": "Ana García López",
            "identity_document": "12345678Z",
            "requested_amount": "15000.00",
            "monthly_income": "3500.00",
            "term_months": 36,
        }),
    ),
    responses(
        (
            status = 201,
            description = "It is accepted and will be decided",
            body = ApplicationView,
            headers(
                ("Location" = String, description = "Its path"),
                ("ETag" = String, description = "Its version"),
            ),
        ),
        (
            status = 409,
            description = "The account has an open application for the document, or the same request is being answered \
                at this moment; see Retry-After",
        ),
    ),
)]
pub(in crate::http) async fn create(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    idempotency: Idempotency,
    body: JsonObject,
) -> Answer {
    let (clock, metrics) = (&state.resources.clock, &state.resources.metrics);
    let draft = match Draft::read(&body, &state.countries, clock.now())? {
        Ok(draft) => draft,
        Err(refused) => {
            refused.count(metrics);
            return Err(Error::Validation(refused.problems).into());
        }
    };
    let attribution = Attribution {
        change_id: ChangeId::new(clock.new_uuid()),
        changed_by: principal.account.clone(),
        reason: None,
        request_id: Some(context.request_id),
    };
    let id = ApplicationId::new(clock.new_uuid());
    let keys = state.keys();
    let write = idempotency.write(keys, &principal.account, body.as_bytes(), clock.now());
    let application = draft.into_application(id, principal.account, attribution, context.traceparent);
    let reply = Reply::json(StatusCode::CREATED, &ApplicationView::of_new(&application)?)?
        .with_header(&header::LOCATION, format!("/api/v1/applications/{id}"))
        .with_header(&header::ETAG, etag(NewApplication::VERSION));
    let (country, owner) = (application.country, application.created_by.clone());
    let document = keys.document_index(country, &application.identity_document);
    let window = state.resources.settings.applications.duplicate_window();
    let claim_until = id.created_at().zip(window).map(|(made, window)| made + window);
    let keyed = match &write {
        Some(write) => Some((write.clone(), reply.seal(keys, write)?)),
        None => None,
    };
    match (state.write_batchers.insert(Insertion { application, claim_until, keyed }).await?, write) {
        (InsertOutcome::Inserted, _) => {
            state.cache.note_change(id, NewApplication::VERSION, &owner);
            metrics.applications_created_total.with_label_values(&[country.code()]).inc();
            reply.response()
        }
        (InsertOutcome::Known(known), Some(write)) => replay(keys, &write, &known),
        (InsertOutcome::Duplicate(existing), _) => {
            let read = async |connection: &mut _| held_until(connection, &owner, document).await;
            let open_until = state.resources.database.run(read).await?;
            Err(Rejection::DuplicateApplication { existing, open_until })
        }
        (InsertOutcome::InFlight | InsertOutcome::Contended | InsertOutcome::Known(_), _) => Err(in_flight()),
    }
}

/// What a client asks for, checked.
#[derive(Clone)]
struct Draft {
    country: Country,
    full_name: FullName,
    identity_document: IdentityDocument,
    requested_amount: Money,
    monthly_income: Money,
    term_months: TermMonths,
    data: NewData,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("country", &self.country).finish_non_exhaustive()
    }
}

/// A request that is not acceptable.
#[derive(Debug)]
struct Refused {
    country: Option<Country>,
    problems: Vec<FieldError>,
}

impl Refused {
    fn count(&self, metrics: &Metrics) {
        let country = self.country.map_or("unknown", Country::code);
        for problem in &self.problems {
            metrics.applications_validation_errors_total.with_label_values(&[country, problem.code]).inc();
        }
    }
}

impl Draft {
    /// Reads and checks a body. `now` is the moment of the application.
    ///
    /// # Errors
    /// The outer one when the body is no object or something is broken inside Aval; the inner one holds everything that
    /// is wrong with the members.
    fn read(body: &JsonObject, countries: &Countries, now: DateTime<Utc>) -> Result<Result<Self, Refused>> {
        let mut problems = Problems::default();
        let mut fields = Fields::new(body.members()?, "", &mut problems);
        let country = fields.required("country", country);
        let full_name = fields.required("full_name", full_name);
        let document = fields.required("identity_document", string);
        let requested_amount = fields.required("requested_amount", positive_money);
        let monthly_income = fields.required("monthly_income", positive_money);
        let term_months = fields.optional("term_months", term_months);
        let members = fields.optional("country_specific_data", country_data::bounded);
        let person = country
            .zip(document)
            .and_then(|(country, text)| check_document(&mut fields, countries, country, &text, now));
        fields.refuse_the_rest();
        let read_data =
            |(country, members)| country_data::read_new(country, &members, now.date_naive(), &mut problems);
        let data = country.zip(members).map(read_data);
        match (country, full_name, person, requested_amount, monthly_income, problems.0.is_empty()) {
            (
                Some(country),
                Some(full_name),
                Some((identity_document, person)),
                Some(requested_amount),
                Some(monthly_income),
                true,
            ) => {
                let mut data = data.unwrap_or_default();
                if let Some(person) = person {
                    country_data::add_person(&mut data.open, person)?;
                    data.birth_date = Some(BirthDate::new(person.birth_date));
                }
                Ok(Ok(Self {
                    country,
                    full_name,
                    identity_document,
                    requested_amount,
                    monthly_income,
                    term_months: term_months.unwrap_or(TermMonths::DEFAULT),
                    data,
                }))
            }
            _ => Ok(Err(Refused { country, problems: problems.0 })),
        }
    }

    fn into_application(
        self,
        id: ApplicationId,
        created_by: String,
        attribution: Attribution,
        traceparent: Option<String>,
    ) -> NewApplication {
        NewApplication {
            id,
            country: self.country,
            full_name: self.full_name,
            identity_document: self.identity_document,
            requested_amount: self.requested_amount,
            monthly_income: self.monthly_income,
            term_months: self.term_months,
            birth_date: self.data.birth_date,
            country_specific_data: self.data.open,
            personal_data: self.data.personal,
            created_by,
            attribution,
            traceparent,
        }
    }
}

/// Has the country's rules check the document; each of their reasons is a problem of its own.
fn check_document(
    fields: &mut Fields<'_, '_>,
    countries: &Countries,
    country: Country,
    text: &str,
    now: DateTime<Utc>,
) -> Option<(IdentityDocument, Option<DocumentedPerson>)> {
    let verdict = countries.rules(country).check_document(text, now);
    for reason in &verdict.reasons {
        fields.refuse("identity_document", reason.as_str(), reason.detail());
    }
    Some((IdentityDocument::from_normalized(verdict.normalized?), verdict.person))
}

fn full_name(raw: &RawValue) -> Result<FullName, Refusal> {
    let refusal = || {
        (
            "bad_name",
            format!(
                "must be 1 to {} characters with a letter among them, none of them a control character, invisible or \
                 changing the direction of writing",
                FullName::MAX_CHARS
            ),
        )
    };
    FullName::parse(&string(raw)?).ok_or_else(refusal)
}

#[cfg(test)]
mod tests;
