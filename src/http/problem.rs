//! Error responses: RFC 9457 problem details.
//!
//! A [`Rejection`] is an error response of a handler or an extractor. Its [`Kind`] is one line of the [`CATALOGUE`],
//! from which the OpenAPI document lists the problems. The text of a 4xx is written for the client. The text of a 5xx
//! never names the cause, which is only logged. The middleware `middleware::observe` adds the request's identifier and
//! logs the cause.

mod body;
pub mod catalogue;
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
use self::catalogue::*;
pub use self::catalogue::{CATALOGUE, FIELD_CODES, Kind};
pub use self::reference::{PAGES, markdown, page};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The largest number of field errors in one problem.
const MAX_ERRORS: usize = 50;

/// The challenge of a 401 (RFC 6750, section 3).
const CHALLENGE: &str = r#"Bearer realm="aval""#;
/// The challenge when a credential was sent and rejected (RFC 6750, section 3.1).
const INVALID_TOKEN_CHALLENGE: &str = r#"Bearer realm="aval", error="invalid_token""#;

/// `Retry-After` of errors that do not specify one.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error response.
#[derive(Debug, Clone)]
pub enum Rejection {
    /// An error of a use case.
    Error(Error),
    /// No route has this path.
    UnknownRoute,
    /// No route has this path, and the path ends with a slash.
    TrailingSlash,
    /// The path has routes for other methods: the value of `Allow`.
    MethodNotAllowed(String),
    /// The body is not `application/json` in UTF-8, or is compressed.
    UnsupportedMediaType,
    /// The body did not arrive in time.
    SlowBody,
    /// The instance is still starting.
    Starting,
    /// The body exceeds its limit.
    PayloadTooLarge {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// The path and query exceed their limit.
    TargetTooLong {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// The header fields exceed their limit.
    HeaderTooLarge {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// A rejected or insufficient credential. The parameters of the challenge say why (RFC 6750, section 3).
    Challenged {
        /// The error.
        error: Error,
        /// `name="value"`, separated by commas.
        parameters: String,
    },
    /// The handshake requests a version of the WebSocket protocol other than 13.
    WebSocketVersion,
    /// The request has an `Expect` header that the server does not support.
    Expectation,
    /// The account has this open application for the same document (section 9 of docs/specification.md).
    DuplicateApplication {
        /// The open application.
        existing: ApplicationId,
        /// When it stops preventing other applications, unless it is closed earlier.
        open_until: Option<DateTime<Utc>>,
    },
    /// The account has a saved view with this name for the same page.
    DuplicateView,
}

/// The result of a handler.
pub type HandlerResult = Result<HttpResponse, Rejection>;

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Rejection {
    /// Whether a database session was lost. The request can be repeated immediately on another one.
    pub fn is_of_a_lost_session(&self) -> bool {
        matches!(self, Self::Error(Error::Database { session_lost: true, .. }))
    }

    /// The kind of problem.
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
            Self::DuplicateView => DUPLICATE_VIEW,
            Self::SlowBody => REQUEST_TIMEOUT,
            Self::Starting => UNAVAILABLE,
            Self::Error(error) => match error {
                Error::Validation(_) => VALIDATION_FAILED,
                Error::Malformed(_) => MALFORMED_REQUEST,
                Error::NotFound(_) => NOT_FOUND,
                Error::IllegalTransition { .. } => ILLEGAL_TRANSITION,
                Error::Conflict(_) => CONFLICT,
                Error::UnknownLabel { .. } => UNKNOWN_LABEL,
                Error::AssignedToAnother { .. } => ASSIGNED_TO_ANOTHER,
                Error::NotUnderReview => NOT_UNDER_REVIEW,
                Error::CountChanged { .. } => COUNT_CHANGED,
                Error::Archived => ARCHIVED,
                Error::EventsExpired { .. } => EVENTS_EXPIRED,
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
                Error::Unavailable { .. } | Error::Provider { .. } | Error::Delivery { .. } => UNAVAILABLE,
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
            Self::UnknownRoute => "No route matches this path.".to_owned(),
            Self::TrailingSlash => {
                "No route matches this path. Remove the trailing slash.".to_owned()
            }
            Self::MethodNotAllowed(allow) => format!("This path accepts {allow}."),
            Self::UnsupportedMediaType => {
                "Send the body as application/json (a PATCH also as application/merge-patch+json) in UTF-8, without Content-Encoding."
                    .to_owned()
            }
            Self::PayloadTooLarge { limit_bytes }
            | Self::TargetTooLong { limit_bytes }
            | Self::HeaderTooLarge { limit_bytes } => format!("The limit is {limit_bytes} bytes."),
            Self::SlowBody => "The body was not received in time. Nothing was changed.".to_owned(),
            Self::Starting => "The service is starting. Try again shortly.".to_owned(),
            Self::WebSocketVersion => "Sec-WebSocket-Version must be 13 (RFC 6455).".to_owned(),
            Self::Expectation => "The only supported expectation is 100-continue.".to_owned(),
            Self::DuplicateApplication { .. } => {
                "You already have an open application for this document; application_id identifies it. A new one is accepted \
                 once that one is rejected, cancelled, completed or deleted, or after open_until."
                    .to_owned()
            }
            Self::DuplicateView => "You already have a saved view with this name for the same page.".to_owned(),
            Self::Error(error) => match error {
                Error::Validation(_) => "The errors member lists every invalid value.".to_owned(),
                Error::Malformed(text)
                | Error::Conflict(text)
                | Error::Unauthenticated(text)
                | Error::Forbidden(text) => text.to_string(),
                Error::Credential(fault) => fault.detail().to_owned(),
                Error::RateLimited { .. } => "The request limit was exceeded. Retry after the number of seconds in Retry-After.".to_owned(),
                Error::InFlight { .. } => {
                    "A request with the same Idempotency-Key is still in progress. Retry after the number of seconds in Retry-After.".to_owned()
                }
                Error::AssignedToAnother { .. } => {
                    "This application is assigned to the account in assigned_to_name until expires_at.".to_owned()
                }
                Error::NotUnderReview => "The application is not under review.".to_owned(),
                Error::CountChanged { matched } => {
                    format!("The request now matches {matched} applications, which differs from expected_count.")
                }
                Error::Archived => {
                    "Archived applications are read-only. An operator can restore the month of this application.".to_owned()
                }
                Error::EventsExpired { oldest_offset: Some(oldest) } => {
                    format!("Events after this position have expired. The oldest available offset is {oldest}.")
                }
                Error::EventsExpired { oldest_offset: None } => {
                    "Events after this position have expired. No event is available.".to_owned()
                }
                Error::StaleVersion => "The resource has changed since it was read. Read it again and send its current ETag.".to_owned(),
                Error::KeyReused => {
                    "This Idempotency-Key was used for a different request. Send a new key with a new request.".to_owned()
                }
                Error::UnknownLabel { what, .. } => format!(
                    "The resource has a {what} that this version of the service does not support. If a newer version is \
                     being rolled out, try again shortly."
                ),
                Error::NotFound(what) => format!("The {what} does not exist."),
                Error::IllegalTransition { from, to, .. } => {
                    format!("The status cannot change from {from} to {to}.")
                }
                Error::Timeout { .. } => {
                    "The request may still take effect. Check the state of the resource before you repeat a change.".to_owned()
                }
                Error::Overloaded { .. }
                | Error::Unavailable { .. }
                | Error::Provider { .. }
                | Error::Delivery { .. }
                | Error::Database { transient: true, .. } => "Try again shortly.".to_owned(),
                Error::Database { transient: false, .. }
                | Error::LeaseLost
                | Error::Panicked { .. }
                | Error::Configuration(_)
                | Error::Internal(_) => {
                    "The cause was logged under the request_id of this response.".to_owned()
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

    /// The problem for the request with this identifier.
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
            Self::Error(Error::AssignedToAnother { name, expires_at }) => {
                problem.assigned_to_name = Some(name.clone());
                problem.expires_at = Some(*expires_at);
            }
            Self::Error(Error::CountChanged { matched }) => problem.matched = Some(*matched),
            Self::DuplicateApplication { existing, open_until } => {
                problem.application_id = Some(*existing);
                problem.open_until = *open_until;
            }
            _ => {}
        }
        problem
    }

    /// The HTTP response.
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
            Error::AssignedToAnother { name: "ana.garcia".to_owned(), expires_at: DateTime::UNIX_EPOCH },
            Error::NotUnderReview,
            Error::CountChanged { matched: 12 },
            Error::Archived,
            Error::EventsExpired { oldest_offset: Some(43) },
            Error::EventsExpired { oldest_offset: None },
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
            Error::Delivery { result: "timeout", cause: cause() },
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
            Rejection::DuplicateView,
            Rejection::SlowBody,
            Rejection::Starting,
        ]);
        rejections
    }

    #[test]
    fn the_catalogue_of_problems_matches_the_snapshot() {
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
    fn no_internal_cause_appears_in_a_response() {
        for rejection in every_rejection() {
            let text = serde_json::to_string(&rejection.problem(None)).unwrap();
            assert!(!text.contains(SECRET), "{text}");
            assert!(CATALOGUE.contains(&rejection.kind()));
        }
    }

    #[test]
    fn a_long_list_of_errors_with_long_pointers_is_truncated() {
        let field = FieldError::new(format!("/{}", "é".repeat(5000)), "unknown_field", "x");
        let problem = Rejection::from(Error::Validation(vec![field; 500])).problem(None);
        assert_eq!(problem.errors.len(), MAX_ERRORS);
        assert_eq!(problem.errors[0].pointer.chars().count(), MAX_POINTER_CHARS);
    }

    #[test]
    fn a_response_of_a_library_becomes_a_problem_with_the_same_status() {
        let problem = Problem::of_status(StatusCode::IM_A_TEAPOT, Some("r"));
        assert_eq!((problem.status, problem.code), (418, "request_refused"));
        assert_eq!(Problem::of_status(StatusCode::BAD_GATEWAY, None).code, "internal_error");
        assert_eq!(Problem::of_status(StatusCode::NOT_FOUND, None).code, "not_found");
    }
}
