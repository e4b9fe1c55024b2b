//! `POST /api/v1/applications`

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::country_data::{self, NewData};
use super::filter::valid_document;
use super::view::ApplicationView;
use crate::countries::{Countries, DocumentedPerson};
use crate::domain::application::{Country, NewApplication, TermMonths};
use crate::domain::money::Money;
use crate::domain::personal_data::{BirthDate, FullName, IdentityDocument};
use crate::error::{Error, FieldError, Result};
use crate::http::HttpState;
use crate::http::body::JsonObject;
use crate::http::conditional::etag;
use crate::http::idempotency::{self, Idempotency, Once, Reply};
use crate::http::problem::{HandlerResult, Rejection};
use crate::http::request::values::{country, full_name, term_months, text};
use crate::http::request::{Refusals, request_body};
use crate::json::{positive_money, string};
use crate::lending::Caller;
use crate::lending::submit::{Draft, Submitted};
use crate::telemetry::metrics::Metrics;

request_body! {
    /// A new application. Amounts may be JSON numbers or strings and are parsed exactly as written.
    pub struct CreateRequest given(countries: &Countries, now: DateTime<Utc>) {
        /// The country, as an ISO 3166-1 alpha-2 code; case is ignored.
        #[schema(value_type = crate::http::schemas::CountryCode)]
        country: Country = required(text(country)),
        /// The applicant's name.
        #[schema(value_type = String, min_length = 1, max_length = 255, example = "Ana García López")]
        full_name: FullName = required(text(full_name)),
        /// The applicant's identity document. Separators are ignored.
        #[schema(value_type = String, max_length = 50, example = "12345678-Z")]
        identity_document: Documented = required(string) then(|text| check_document(&text, countries, country, now)),
        /// The requested amount, in the country's currency.
        #[schema(value_type = crate::http::schemas::PositiveAmount, example = "15000.00")]
        requested_amount: Money = required(positive_money),
        /// The applicant's declared monthly income, in the country's currency.
        #[schema(value_type = crate::http::schemas::PositiveAmount, example = "3500.00")]
        monthly_income: Money = required(positive_money),
        /// The number of monthly instalments; the default is 36.
        #[schema(value_type = Option<u16>, minimum = 6, maximum = 84, example = 36)]
        term_months: Option<TermMonths> = optional(term_months),
        /// The country's data, at most 16 KiB: only members that `GET /countries/{code}` lists. `birth_date` and `sex`
        /// are replaced with the values from the document, if it contains them. Personal members are encrypted, and
        /// masked in responses except for their first and last characters.
        #[schema(value_type = Option<Object>)]
        country_specific_data: Option<NewData> = optional(|raw| read_data(raw, country, now)),
    }
}

/// Creates an application.
///
/// The document and the amounts are validated; the response lists every invalid value. The response is sent once the
/// application is committed with status `PENDING`. While the account has an open application for the same document (not
/// rejected, cancelled, completed or deleted), creating another within 24 hours is refused with a 409. The response
/// contains the identifier of the open application and the time until which it prevents another one.
#[utoipa::path(
    post,
    path = "/api/v1/applications",
    operation_id = "create_application",
    tag = "applications",
    params(Idempotency),
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
            description = "The application was accepted and will be decided",
            body = ApplicationView,
            headers(
                ("Location" = String, description = "Path of the application"),
                ("ETag" = String, description = "Version of the application"),
            ),
        ),
        (
            status = 409,
            description = "The account has an open application for the document, or a request with the same \
                Idempotency-Key is in progress; see Retry-After",
        ),
    ),
)]
pub(in crate::http) async fn create(
    state: HttpState,
    caller: Caller,
    idempotency: Idempotency,
    body: JsonObject,
) -> HandlerResult {
    let draft = match read_draft(&body, &state.countries, state.resources.clock.now())? {
        Ok(draft) => draft,
        Err(refused) => {
            refused.count(&state.resources.metrics);
            return Err(Error::Validation(refused.field_errors).into());
        }
    };
    let keyed = idempotency.keyed(&state, &caller.account, body.as_bytes(), &reply);
    let outcome = match state.lending.submit(caller, draft, keyed.as_ref()).await? {
        Submitted::Made(application) => Once::Made(Arc::unwrap_or_clone(application)),
        Submitted::Replayed(stored) => Once::Replayed(stored),
        Submitted::Duplicate { existing, open_until } => {
            return Err(Rejection::DuplicateApplication { existing, open_until });
        }
    };
    idempotency::respond(state.keys(), keyed.as_ref(), outcome, reply)
}

fn reply(application: &NewApplication) -> Result<Reply> {
    let location = format!("/api/v1/applications/{}", application.id);
    Ok(Reply::json(StatusCode::CREATED, &ApplicationView::of_new(application)?)?
        .with_header(&header::LOCATION, location)
        .with_header(&header::ETAG, etag(NewApplication::VERSION)))
}

/// A refused request.
#[derive(Debug)]
struct Refused {
    country: Option<Country>,
    field_errors: Vec<FieldError>,
}

impl Refused {
    fn count(&self, metrics: &Metrics) {
        let country = self.country.map_or("unknown", Country::code);
        for field_error in &self.field_errors {
            metrics
                .applications_validation_errors_total
                .with_label_values(&[country, field_error.code])
                .inc();
        }
    }
}

/// Reads and validates a body. `now` is the time of the application.
///
/// # Errors
/// The outer error if the body is not an object or an internal error occurs; the inner one lists the field
/// errors of the members.
fn read_draft(
    body: &JsonObject,
    countries: &Countries,
    now: DateTime<Utc>,
) -> Result<Result<Draft, Refused>> {
    match CreateRequest::read(body.members()?, countries, now) {
        Ok(request) => request.into_draft().map(Ok),
        Err(refusals) => {
            let sent = body.members()?.get("country");
            let country = sent.and_then(|raw| text(country)(raw).ok());
            Ok(Err(Refused { country, field_errors: refusals.into() }))
        }
    }
}

impl CreateRequest {
    fn into_draft(self) -> Result<Draft> {
        let mut data = self.country_specific_data.unwrap_or_default();
        let Documented { document, person } = self.identity_document;
        if let Some(person) = person {
            country_data::add_person(&mut data.open, person)?;
            data.birth_date = Some(BirthDate::new(person.birth_date));
        }
        Ok(Draft {
            country: self.country,
            full_name: self.full_name,
            identity_document: document,
            requested_amount: self.requested_amount,
            monthly_income: self.monthly_income,
            term_months: self.term_months.unwrap_or(TermMonths::DEFAULT),
            birth_date: data.birth_date,
            country_specific_data: data.open,
            personal_data: data.personal,
        })
    }
}

/// A valid document and the personal data that it contains.
struct Documented {
    document: IdentityDocument,
    person: Option<DocumentedPerson>,
}

/// Checks a document by the rules of its country.
fn check_document(
    text: &str,
    countries: &Countries,
    country: Option<Country>,
    now: DateTime<Utc>,
) -> Result<Documented, Refusals> {
    let verdict = country.map(|country| countries.rules(country).check_document(text, now));
    let verdict = verdict.ok_or_else(Refusals::default)?;
    let document = valid_document(&verdict)?;
    Ok(Documented { document, person: verdict.person })
}

/// Reads the country's data if the country is known.
fn read_data(raw: &RawValue, country: Option<Country>, now: DateTime<Utc>) -> Result<NewData, Refusals> {
    let members = country_data::bounded(raw)?;
    country.map_or_else(
        || Ok(NewData::default()),
        |country| country_data::read_new(country, &members, now.date_naive()),
    )
}

#[cfg(test)]
mod tests;
