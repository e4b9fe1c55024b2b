//! Extractors for values from the path and the context of a request.
//!
//! Every extractor fails with a [`Rejection`], so a malformed request gets a problem like any other error.
//! Bodies are read in [`super::body`], query strings in [`super::query`].

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use uuid::Uuid;

use super::problem::Rejection;
use crate::domain::application::Country;
use crate::domain::ids::{ApplicationId, RequestId};
use crate::error::{Error, PublicMessage};

/// Length of a hyphenated UUID in characters.
const UUID_CHARS: usize = 36;

/// The application identifier in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplicationPath(pub ApplicationId);

impl FromRequest for ApplicationPath {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    /// Accepts the hyphenated form in either case. An identifier that is not a version 7 UUID is well formed, but
    /// matches no application.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.match_info().query("id");
        let id: Option<ApplicationId> = text.parse().ok().filter(|_| text.len() == UUID_CHARS);
        let refuse =
            || Error::Malformed(PublicMessage::new("The identifier in the path is not a UUID.")).into();
        ready(id.map(Self).ok_or_else(refuse))
    }
}

/// The identifier, from the path, of a resource other than an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdPath(pub Uuid);

impl FromRequest for IdPath {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    /// Accepts the hyphenated form in either case.
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let path = ApplicationPath::from_request(request, payload).into_inner();
        ready(path.map(|ApplicationPath(id)| Self(id.as_uuid())))
    }
}

/// The country code in the path, in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountryPath(pub Country);

impl FromRequest for CountryPath {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let country = request.match_info().query("code").parse().ok();
        ready(country.map(Self).ok_or_else(|| Error::NotFound("country").into()))
    }
}

/// The identifiers of a request, set by `middleware::observe` and stored with rows, jobs and events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestContext {
    /// The client's `X-Request-ID`, or a generated one.
    pub request_id: RequestId,
    /// The W3C trace context of the request's span, or of the client if traces are off.
    pub traceparent: String,
}

impl FromRequest for RequestContext {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let context = request.extensions().get::<Self>().cloned();
        ready(context.ok_or_else(|| Error::internal("the request has no RequestContext").into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    async fn application(id: &str) -> Result<ApplicationPath, u16> {
        let request = TestRequest::default().param("id", id.to_owned()).to_http_request();
        ApplicationPath::extract(&request).await.map_err(|rejection| rejection.kind().status)
    }

    #[actix_rt::test]
    async fn an_identifier_is_a_hyphenated_uuid_of_either_case_and_any_version() {
        for id in [
            "01890a5d-ac96-774b-bcce-b302099a8057",
            "01890A5D-AC96-774B-BCCE-B302099A8057",
            "5f0c954e-3b51-4f0a-9a5c-4f5d6e7f8a9b",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(application(id).await.is_ok(), "{id}");
        }
        for id in [
            "",
            "1",
            "01890a5dac96774bbcceb302099a8057",
            "{01890a5d-ac96-774b-bcce-b302099a8057}",
            "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
            "01890a5d-ac96-774b-bcce-b302099a805g",
            "é1890a5d-ac96-774b-bcce-b302099a805",
            "%00",
        ] {
            assert_eq!(application(id).await, Err(400), "{id}");
        }
    }

    #[actix_rt::test]
    async fn a_supported_country_code_is_accepted_in_either_case() {
        let country = async |code: &str| {
            let request = TestRequest::default().param("code", code.to_owned()).to_http_request();
            CountryPath::extract(&request).await.map(|path| path.0).map_err(|r| r.kind().status)
        };
        assert_eq!(country("es").await, Ok(Country::Es));
        assert_eq!(country("BR").await, Ok(Country::Br));
        for code in ["", "XX", "ESP", "e\u{301}s"] {
            assert_eq!(country(code).await, Err(404));
        }
    }
}
