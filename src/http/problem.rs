//! The one way in which a request is refused: RFC 9457 problem details.
//!
//! A [`Rejection`] is everything that a handler or an extractor can answer instead of success. Its [`Kind`] is one
//! line of the [`CATALOGUE`], which the OpenAPI document lists too. What a 4xx says is meant for the client; every 5xx
//! says the same sentence whatever happened, because its cause is for the log alone. The request's identifier is
//! added, and the cause logged, by the middleware that sees every answer (`middleware::observe`).

mod body;
mod reference;

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use chrono::{DateTime, Utc};

use crate::domain::ids::ApplicationId;
use crate::error::{CredentialFault, Error};

pub use self::body::{Problem, ProblemField};
pub use self::reference::{FIELD_CODES, PAGES, markdown, page};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Most field errors of one problem; a person reads no more.
const MAX_ERRORS: usize = 50;

/// What a 401 asks for (RFC 6750, section 3).
const CHALLENGE: &str = r#"Bearer realm="aval""#;
/// The same for a credential that was sent and refused (RFC 6750, section 3.1).
const INVALID_TOKEN_CHALLENGE: &str = r#"Bearer realm="aval", error="invalid_token""#;

/// When to come back after a refusal that names no time of its own.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The stable code.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What it is, the same at every occurrence.
    pub title: &'static str,
}

macro_rules! catalogue {
    ($($name:ident = $status:literal $code:literal $title:literal;)+) => {
        $(const $name: Kind = Kind { code: $code, status: $status, title: $title };)+

        /// Every kind of problem that Aval answers.
        pub const CATALOGUE: &[Kind] = &[$($name),+];
    };
}

catalogue! {
    MALFORMED_REQUEST = 400 "malformed_request" "The request cannot be read";
    UNAUTHENTICATED = 401 "unauthenticated" "Who asks is not known";
    CREDENTIAL_MALFORMED = 401 "credential_malformed" "The credential is malformed";
    CREDENTIAL_EXPIRED = 401 "credential_expired" "The credential has expired";
    CREDENTIAL_REVOKED = 401 "credential_revoked" "The credential has been revoked";
    WRONG_CREDENTIAL_KIND = 401 "wrong_credential_kind" "This kind of credential is not accepted here";
    FORBIDDEN = 403 "forbidden" "This is not allowed";
    NOT_FOUND = 404 "not_found" "There is no such thing";
    METHOD_NOT_ALLOWED = 405 "method_not_allowed" "The resource does not know this method";
    REQUEST_TIMEOUT = 408 "request_timeout" "The request did not arrive in time";
    CONFLICT = 409 "conflict" "The state of the resource does not allow this";
    DUPLICATE_APPLICATION = 409 "duplicate_application" "An open application for this document exists";
    UNKNOWN_LABEL = 409 "unknown_label" "A newer version has written what this one does not know";
    ARCHIVED = 409 "archived" "The application is archived and does not change";
    IN_FLIGHT = 409 "in_flight" "An equal request is still being worked on";
    ILLEGAL_TRANSITION = 409 "illegal_transition" "The status machine does not know this change";
    EXPECTATION_FAILED = 417 "expectation_failed" "The expectation cannot be met";
    PRECONDITION_FAILED = 412 "precondition_failed" "The resource has changed meanwhile";
    PAYLOAD_TOO_LARGE = 413 "payload_too_large" "The body is too large";
    TARGET_TOO_LONG = 414 "uri_too_long" "The path and query are too long";
    UNSUPPORTED_MEDIA_TYPE = 415 "unsupported_media_type" "The body must be JSON";
    VALIDATION_FAILED = 422 "validation_failed" "Some values are not acceptable";
    IDEMPOTENCY_KEY_REUSED = 422 "idempotency_key_reused" "The key belongs to another request";
    WEBSOCKET_VERSION = 426 "upgrade_required" "Another version of the WebSocket protocol is needed";
    RATE_LIMITED = 429 "rate_limited" "Too many requests";
    HEADER_TOO_LARGE = 431 "header_too_large" "The header fields are too large";
    REQUEST_REFUSED = 400 "request_refused" "The request was refused";
    INTERNAL_ERROR = 500 "internal_error" "Something went wrong on our side";
    OVERLOADED = 503 "overloaded" "Too much is waiting";
    UNAVAILABLE = 503 "unavailable" "A part of the service cannot be reached";
    TIMEOUT = 503 "timeout" "The request took too long";
}

/// Why a request is not answered with success.
#[derive(Debug, Clone)]
pub enum Rejection {
    /// An error of the house.
    Error(Error),
    /// No route has this path.
    UnknownRoute,
    /// No route has this path, which ends with a slash.
    TrailingSlash,
    /// The path has routes, but for other methods: the value of `Allow`.
    MethodNotAllowed(String),
    /// The body is not `application/json` in UTF-8, or is compressed.
    UnsupportedMediaType,
    /// The body did not arrive in time.
    SlowBody,
    /// Not everything stands yet; nothing is wrong.
    Starting,
    /// The body is larger than this.
    PayloadTooLarge {
        /// The most that is accepted, in bytes.
        limit_bytes: usize,
    },
    /// The path and query are longer than this.
    TargetTooLong {
        /// The most that is accepted, in bytes.
        limit_bytes: usize,
    },
    /// The header fields are larger than this.
    HeaderTooLarge {
        /// The most that is accepted, in bytes.
        limit_bytes: usize,
    },
    /// A credential that is not good, or not good for this; the parameters of the challenge say why (RFC 6750, section 3).
    Challenged {
        /// What it is.
        error: Error,
        /// `name="value"`, separated by commas.
        parameters: String,
    },
    /// The handshake is of another version of the WebSocket protocol than 13.
    WebSocketVersion,
    /// The request expects something that the server does not do.
    Expectation,
    /// The account has this open application for the same document (docs/specification.md 9).
    DuplicateApplication {
        /// The open application.
        existing: ApplicationId,
        /// Until when it keeps others away, unless it is over before.
        open_until: Option<DateTime<Utc>>,
    },
}

/// What a handler answers.
pub type Answer = Result<HttpResponse, Rejection>;

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Rejection {
    /// Whether a session with the database failed the work, so that it can be done at once on another.
    pub fn is_of_a_lost_session(&self) -> bool {
        matches!(self, Self::Error(Error::Database { session_lost: true, .. }))
    }

    /// What kind of problem it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Challenged { error, .. } => Self::Error(error.clone()).kind(),
            Self::UnknownRoute | Self::TrailingSlash => NOT_FOUND,
            Self::MethodNotAllowed(_) => METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType => UNSUPPORTED_MEDIA_TYPE,
            Self::PayloadTooLarge { .. } => PAYLOAD_TOO_LARGE,
            Self::TargetTooLong { .. } => TARGET_TOO_LONG,
            Self::HeaderTooLarge { .. } => HEADER_TOO_LARGE,
            Self::WebSocketVersion => WEBSOCKET_VERSION,
            Self::Expectation => EXPECTATION_FAILED,
            Self::DuplicateApplication { .. } => DUPLICATE_APPLICATION,
            Self::SlowBody => REQUEST_TIMEOUT,
            Self::Starting => UNAVAILABLE,
            Self::Error(error) => match error {
                Error::Validation(_) => VALIDATION_FAILED,
                Error::Malformed(_) => MALFORMED_REQUEST,
                Error::NotFound(_) => NOT_FOUND,
                Error::IllegalTransition { .. } => ILLEGAL_TRANSITION,
                Error::Conflict(_) => CONFLICT,
                Error::UnknownLabel { .. } => UNKNOWN_LABEL,
                Error::Archived => ARCHIVED,
                Error::StaleVersion => PRECONDITION_FAILED,
                Error::KeyReused => IDEMPOTENCY_KEY_REUSED,
                Error::Unauthenticated(_) | Error::Credential(CredentialFault::Unproven) => UNAUTHENTICATED,
                Error::Credential(CredentialFault::Malformed) => CREDENTIAL_MALFORMED,
                Error::Credential(CredentialFault::WrongKind) => WRONG_CREDENTIAL_KIND,
                Error::Credential(CredentialFault::Expired) => CREDENTIAL_EXPIRED,
                Error::Credential(CredentialFault::Revoked) => CREDENTIAL_REVOKED,
                Error::Forbidden(_) => FORBIDDEN,
                Error::RateLimited { .. } => RATE_LIMITED,
                Error::InFlight { .. } => IN_FLIGHT,
                Error::Overloaded { .. } => OVERLOADED,
                Error::Unavailable { .. } | Error::Provider { .. } => UNAVAILABLE,
                Error::Database { transient: true, .. } => UNAVAILABLE,
                Error::Timeout { .. } => TIMEOUT,
                Error::Database { transient: false, .. }
                | Error::LeaseLost
                | Error::Panicked { .. }
                | Error::Configuration(_)
                | Error::Internal(_) => INTERNAL_ERROR,
            },
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Challenged { error, .. } => Self::Error(error.clone()).detail(),
            Self::UnknownRoute => "No route has this path.".to_owned(),
            Self::TrailingSlash => {
                "No route has this path. Paths end without a slash: leave it out.".to_owned()
            }
            Self::MethodNotAllowed(allow) => format!("This path knows {allow}."),
            Self::UnsupportedMediaType => {
                "Send the body as application/json (a PATCH also as application/merge-patch+json) in UTF-8, without Content-Encoding."
                    .to_owned()
            }
            Self::PayloadTooLarge { limit_bytes }
            | Self::TargetTooLong { limit_bytes }
            | Self::HeaderTooLarge { limit_bytes } => format!("At most {limit_bytes} bytes are accepted."),
            Self::SlowBody => "The body did not arrive in time; nothing was done.".to_owned(),
            Self::Starting => "Aval is starting; try again in a moment.".to_owned(),
            Self::WebSocketVersion => "Sec-WebSocket-Version must be 13 (RFC 6455).".to_owned(),
            Self::Expectation => "100-continue is the only expectation that is met.".to_owned(),
            Self::DuplicateApplication { .. } => {
                "You have an open application for the same document; application_id names it. It is open until it is \
                 rejected, cancelled, completed or deleted, and keeps others away until open_until at the latest."
                    .to_owned()
            }
            Self::Error(error) => match error {
                Error::Validation(_) => "See errors for each of them.".to_owned(),
                Error::Malformed(text)
                | Error::Conflict(text)
                | Error::Unauthenticated(text)
                | Error::Forbidden(text) => text.to_string(),
                Error::Credential(fault) => fault.detail().to_owned(),
                Error::RateLimited { .. } => "Retry-After says when the next one may come.".to_owned(),
                Error::InFlight { .. } => {
                    "An equal request has no answer yet; Retry-After says when to ask again.".to_owned()
                }
                Error::Archived => {
                    "It can be read by its identifier; an operator can bring its month back.".to_owned()
                }
                Error::StaleVersion => "Read the application again; its ETag is another one now.".to_owned(),
                Error::KeyReused => {
                    "This Idempotency-Key was used for another request; a new request needs a new key.".to_owned()
                }
                Error::UnknownLabel { what, .. } => format!(
                    "It has a {what} that this version of the service does not know. While a newer version is rolled out, \
                     try again in a moment."
                ),
                Error::NotFound(what) => format!("There is no such {what}."),
                Error::IllegalTransition { from, to, .. } => {
                    format!("An application cannot go from {from} to {to}.")
                }
                Error::Timeout { .. } => {
                    "It may still take effect: look before you send a change again.".to_owned()
                }
                Error::Overloaded { .. }
                | Error::Unavailable { .. }
                | Error::Provider { .. }
                | Error::Database { transient: true, .. } => "Try again in a moment.".to_owned(),
                Error::Database { transient: false, .. }
                | Error::LeaseLost
                | Error::Panicked { .. }
                | Error::Configuration(_)
                | Error::Internal(_) => {
                    "The cause is in our log, under the request_id of this answer.".to_owned()
                }
            },
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Error(
                Error::Overloaded { retry_after, .. }
                | Error::RateLimited { retry_after }
                | Error::InFlight { retry_after },
            ) => Some(*retry_after),
            other => (other.kind().status == 503).then_some(RETRY_AFTER),
        }
    }

    fn challenge(&self) -> Option<HeaderValue> {
        match self {
            Self::Error(Error::Unauthenticated(_)) => Some(HeaderValue::from_static(CHALLENGE)),
            Self::Error(Error::Credential(_)) => Some(HeaderValue::from_static(INVALID_TOKEN_CHALLENGE)),
            Self::Challenged { parameters, .. } => {
                HeaderValue::try_from(format!("{CHALLENGE}, {parameters}")).ok()
            }
            _ => None,
        }
    }

    /// The problem, for the request with this identifier.
    pub fn problem(&self, request_id: Option<&str>) -> Problem {
        let mut problem = Problem::of(self.kind(), self.detail(), request_id);
        match self {
            Self::Error(Error::Validation(fields)) => {
                problem.errors = fields.iter().take(MAX_ERRORS).map(ProblemField::from).collect();
            }
            Self::Error(Error::IllegalTransition { from, to, allowed }) => {
                problem.from = Some(from);
                problem.to = Some(to);
                problem.allowed = Some(allowed.clone());
            }
            Self::DuplicateApplication { existing, open_until } => {
                problem.application_id = Some(*existing);
                problem.open_until = *open_until;
            }
            _ => {}
        }
        problem
    }

    /// The whole answer.
    pub fn response(&self, request_id: Option<&str>) -> HttpResponse {
        let mut response = self.problem(request_id).response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after() {
            let whole_seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds.max(1)));
        }
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if matches!(self, Self::WebSocketVersion) {
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        if let Self::MethodNotAllowed(allow) = self
            && let Ok(allow) = HeaderValue::from_str(allow)
        {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().title)
    }
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        status(self.kind().status)
    }

    fn error_response(&self) -> HttpResponse {
        self.response(None)
    }
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::body::MAX_POINTER_CHARS;
    use super::*;
    use crate::error::{FieldError, PrivateMessage, PublicMessage};

    const SECRET: &str = "password=hunter2";

    fn every_rejection() -> Vec<Rejection> {
        let cause = || PrivateMessage::new(SECRET);
        let public = || PublicMessage::new("A sentence for the client.");
        let errors = vec![
            Error::Validation(vec![FieldError::new("/term_months", "out_of_range", "must be from 6 to 84")]),
            Error::Malformed(public()),
            Error::NotFound("application"),
            Error::IllegalTransition { from: "PENDING", to: "APPROVED", allowed: vec!["CANCELLED"] },
            Error::Conflict(public()),
            Error::UnknownLabel { what: "role", label: cause() },
            Error::Archived,
            Error::Unauthenticated(public()),
            Error::Credential(CredentialFault::Unproven),
            Error::Credential(CredentialFault::Malformed),
            Error::Credential(CredentialFault::WrongKind),
            Error::Credential(CredentialFault::Expired),
            Error::Credential(CredentialFault::Revoked),
            Error::Forbidden(public()),
            Error::RateLimited { retry_after: Duration::from_secs(6) },
            Error::InFlight { retry_after: Duration::from_secs(1) },
            Error::LeaseLost,
            Error::Overloaded { what: "write_batcher", retry_after: Duration::from_millis(2500) },
            Error::Unavailable { what: "database", cause: cause() },
            Error::Database { transient: true, session_lost: false, cause: cause() },
            Error::Database { transient: false, session_lost: false, cause: cause() },
            Error::Provider { provider: "CRIF", reason: "timeout", cause: cause() },
            Error::Timeout { what: "request", after: Duration::from_secs(15) },
            Error::Panicked { what: "a handler", cause: cause() },
            Error::Configuration(PublicMessage::new(SECRET)),
            Error::Internal(cause()),
        ];
        let mut rejections: Vec<Rejection> = errors.into_iter().map(Rejection::from).collect();
        rejections.extend([
            Rejection::Challenged {
                error: Error::Unauthenticated(public()),
                parameters: r#"error="invalid_token""#.to_owned(),
            },
            Rejection::UnknownRoute,
            Rejection::WebSocketVersion,
            Rejection::Expectation,
            Rejection::MethodNotAllowed("GET, HEAD".to_owned()),
            Rejection::UnsupportedMediaType,
            Rejection::PayloadTooLarge { limit_bytes: 2_097_152 },
            Rejection::TargetTooLong { limit_bytes: 8192 },
            Rejection::HeaderTooLarge { limit_bytes: 32_768 },
            Rejection::Error(Error::StaleVersion),
            Rejection::Error(Error::KeyReused),
            Rejection::DuplicateApplication {
                existing: ApplicationId::new(uuid::Uuid::from_u128(7)),
                open_until: Some(DateTime::UNIX_EPOCH),
            },
            Rejection::SlowBody,
            Rejection::Starting,
        ]);
        rejections
    }

    #[test]
    fn the_catalogue_of_problems_is_this_one() {
        let table: Vec<_> = every_rejection()
            .iter()
            .map(|rejection| {
                let response = rejection.response(None);
                let header = |name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
                serde_json::json!({
                    "problem": rejection.problem(Some("request-1")),
                    "retry-after": header(header::RETRY_AFTER),
                    "allow": header(header::ALLOW),
                    "www-authenticate": header(header::WWW_AUTHENTICATE),
                })
            })
            .collect();
        insta::assert_json_snapshot!(table);
    }

    #[test]
    fn no_private_cause_reaches_an_answer() {
        for rejection in every_rejection() {
            let text = serde_json::to_string(&rejection.problem(None)).unwrap();
            assert!(!text.contains(SECRET), "{text}");
            assert!(CATALOGUE.contains(&rejection.kind()));
        }
    }

    #[test]
    fn a_long_list_of_errors_with_long_pointers_is_cut() {
        let field = FieldError::new(format!("/{}", "é".repeat(5000)), "unknown_field", "x");
        let problem = Rejection::from(Error::Validation(vec![field; 500])).problem(None);
        assert_eq!(problem.errors.len(), MAX_ERRORS);
        assert_eq!(problem.errors[0].pointer.chars().count(), MAX_POINTER_CHARS);
    }

    #[test]
    fn an_answer_of_a_library_becomes_a_problem_with_its_own_status() {
        let problem = Problem::of_status(StatusCode::IM_A_TEAPOT, Some("r"));
        assert_eq!((problem.status, problem.code), (418, "request_refused"));
        assert_eq!(Problem::of_status(StatusCode::BAD_GATEWAY, None).code, "internal_error");
        assert_eq!(Problem::of_status(StatusCode::NOT_FOUND, None).code, "not_found");
    }
}
