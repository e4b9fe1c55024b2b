//! The crate's error type.
//!
//! An [`Error`] separates a stable `code` for clients and dashboards, a [`PublicMessage`] for clients, and a
//! [`PrivateMessage`] for the log. The messages have different types to keep private text out of responses. The error
//! does not depend on HTTP: `http::problem` maps it to a status code.
//!
//! [`Error::retryable`] alone decides whether a failed step is worth a retry. Its match has no wildcard arm: a new
//! variant does not compile until it is classified.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Text for clients. It contains no personal data and no internal details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicMessage(String);

impl PublicMessage {
    /// Marks `text` as safe for clients.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for PublicMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text for the log. It has no `Display`: only [`PrivateMessage::for_log`] returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateMessage(String);

impl PrivateMessage {
    /// Marks `text` as private to the log.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Never send it to a client.
    pub fn for_log(&self) -> &str {
        &self.0
    }
}

/// A problem with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// An RFC 6901 JSON pointer into the body (`/monthly_income`), or `?name` for a query parameter.
    pub pointer: String,
    /// A stable reason code, such as `bad_check_digit`.
    pub code: &'static str,
    /// A sentence for the client. It never quotes the value.
    pub detail: String,
}

impl FieldError {
    /// An error for the member or parameter at `pointer`.
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// Why a credential was rejected. A client learns that a credential is expired or revoked only if the credential is
/// authentic. Otherwise it learns only whether the credential is well formed and of the right kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialFault {
    /// It cannot be verified: the signature, secret or issuer is wrong, or it is not valid yet.
    Unproven,
    /// It does not have the format of a credential.
    Malformed,
    /// It is a different kind of credential than the request needs.
    WrongKind,
    /// It is past its expiry time.
    Expired,
    /// It was revoked, or its account was disabled or changed.
    Revoked,
}

impl CredentialFault {
    /// A stable code for clients.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unproven => "unauthenticated",
            Self::Malformed => "credential_malformed",
            Self::WrongKind => "wrong_credential_kind",
            Self::Expired => "credential_expired",
            Self::Revoked => "credential_revoked",
        }
    }

    /// A sentence for the client.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Unproven => "The credential is not valid.",
            Self::Malformed => "The credential is malformed.",
            Self::WrongKind => {
                "This is a different kind of credential: send access tokens in Authorization: Bearer, API keys in X-API-Key, \
                 and refresh tokens in the body of POST /api/v1/auth/refresh."
            }
            Self::Expired => "The credential has expired.",
            Self::Revoked => "The credential has been revoked, or its account was disabled or changed.",
        }
    }
}

/// Everything that can go wrong in Aval.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Some fields of a well-formed request are not valid.
    #[error("validation failed")]
    Validation(Vec<FieldError>),
    /// The request could not be parsed: malformed JSON, path or query.
    #[error("malformed request: {0}")]
    Malformed(PublicMessage),
    /// The resource does not exist, or the caller may not see it.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// A status change that the status machine does not allow.
    #[error("an application cannot change from {from} to {to}")]
    IllegalTransition {
        /// The current status.
        from: &'static str,
        /// The requested status.
        to: &'static str,
        /// The statuses that the caller may request instead.
        allowed: Vec<&'static str>,
    },
    /// The state of the resource does not allow the request.
    #[error("conflict: {0}")]
    Conflict(PublicMessage),
    /// Another account reviews the application.
    #[error("the application is assigned to another account")]
    AssignedToAnother {
        /// The name of that account.
        name: String,
        /// When the assignment expires.
        expires_at: DateTime<Utc>,
    },
    /// The application does not have the status `UNDER_REVIEW`.
    #[error("the application is not under review")]
    NotUnderReview,
    /// The number of matching applications is not the expected one.
    #[error("the number of matching applications has changed")]
    CountChanged {
        /// The current number.
        matched: usize,
    },
    /// The application is archived and therefore read-only.
    #[error("the application is archived")]
    Archived,
    /// Events after the given position or offset are no longer available, or the position belongs to another epoch.
    #[error("events after the position have expired")]
    EventsExpired {
        /// The first offset that is still available.
        oldest_offset: Option<i64>,
    },
    /// The resource has changed since the version on which the request was based.
    #[error("the resource has changed since the given version")]
    StaleVersion,
    /// The idempotency key belongs to another request.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The request has no credential.
    #[error("not authenticated: {0}")]
    Unauthenticated(PublicMessage),
    /// The request has a credential that is not valid.
    #[error("credential rejected: {}", .0.code())]
    Credential(CredentialFault),
    /// The caller does not have permission.
    #[error("forbidden: {0}")]
    Forbidden(PublicMessage),
    /// The caller exceeded a rate limit.
    #[error("rate limited")]
    RateLimited {
        /// How long the caller should wait.
        retry_after: Duration,
    },
    /// A request with the same idempotency key is in progress.
    #[error("a request with the same idempotency key is in progress")]
    InFlight {
        /// How long the caller should wait.
        retry_after: Duration,
    },
    /// The worker no longer holds the lease on its job. Another worker may have claimed the job.
    #[error("the lease on the job was lost")]
    LeaseLost,
    /// A mailbox, queue or pool is full.
    #[error("overloaded: {what}")]
    Overloaded {
        /// The full mailbox, queue or pool.
        what: &'static str,
        /// How long the caller should wait.
        retry_after: Duration,
    },
    /// A component cannot be reached at the moment.
    #[error("unavailable: {what}")]
    Unavailable {
        /// The component.
        what: &'static str,
        /// The cause, for the log.
        cause: PrivateMessage,
    },
    /// A database statement failed.
    #[error("database error")]
    Database {
        /// Whether the same statement may succeed if it is repeated.
        transient: bool,
        /// Whether the connection failed before the work had any effect, so it can be repeated immediately on another
        /// connection.
        session_lost: bool,
        /// The cause, for the log.
        cause: PrivateMessage,
    },
    /// A bureau returned no usable report.
    #[error("provider {provider} failed: {reason}")]
    Provider {
        /// The bureau's name.
        provider: &'static str,
        /// A stable label for the kind of failure, such as `timeout`.
        reason: &'static str,
        /// The cause, for the log.
        cause: PrivateMessage,
    },
    /// A webhook endpoint did not accept a delivery.
    #[error("the webhook endpoint did not accept the delivery: {result}")]
    Delivery {
        /// The name of the result, such as `timeout`.
        result: &'static str,
        /// The cause, for the log.
        cause: PrivateMessage,
    },
    /// An operation exceeded its time limit.
    #[error("{what} timed out after {after:?}")]
    Timeout {
        /// The operation.
        what: &'static str,
        /// The time limit.
        after: Duration,
    },
    /// An operation panicked.
    #[error("{what} panicked")]
    Panicked {
        /// The operation.
        what: &'static str,
        /// The panic message, for the log.
        cause: PrivateMessage,
    },
    /// A stored label that is unknown to this version of Aval, because a newer version wrote it.
    #[error("the database contains an unknown {what}")]
    UnknownLabel {
        /// The set of labels, such as `account_role`.
        what: &'static str,
        /// The label, for the log.
        label: PrivateMessage,
    },
    /// Invalid configuration. Shown to the operator at startup.
    #[error("configuration: {0}")]
    Configuration(PublicMessage),
    /// A bug in Aval.
    #[error("internal error")]
    Internal(PrivateMessage),
}

impl Error {
    /// A validation error for one field.
    pub fn field(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Validation(vec![FieldError::new(pointer, code, detail)])
    }

    /// A bug, with its description for the log.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::Internal(PrivateMessage::new(cause.to_string()))
    }

    /// A component that cannot be reached, with the cause for the log.
    pub fn unavailable(what: &'static str, cause: impl fmt::Display) -> Self {
        Self::Unavailable { what, cause: PrivateMessage::new(cause.to_string()) }
    }

    /// A stored label that is not in the set `what`.
    pub fn unknown_label(what: &'static str, label: impl fmt::Display) -> Self {
        Self::UnknownLabel { what, label: PrivateMessage::new(label.to_string()) }
    }

    /// Invalid configuration, with a message for the operator.
    pub fn configuration(text: impl fmt::Display) -> Self {
        Self::Configuration(PublicMessage::new(text.to_string()))
    }

    /// The stable code for clients, dashboards and dead letters.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Validation(_) => "validation_failed",
            Self::Malformed(_) => "malformed_request",
            Self::NotFound(_) => "not_found",
            Self::IllegalTransition { .. } => "illegal_transition",
            Self::Conflict(_) => "conflict",
            Self::AssignedToAnother { .. } => "assigned_to_another",
            Self::NotUnderReview => "not_under_review",
            Self::CountChanged { .. } => "count_changed",
            Self::Archived => "archived",
            Self::EventsExpired { .. } => "events_expired",
            Self::StaleVersion => "precondition_failed",
            Self::KeyReused => "idempotency_key_reused",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Credential(fault) => fault.code(),
            Self::Forbidden(_) => "forbidden",
            Self::RateLimited { .. } => "rate_limited",
            Self::InFlight { .. } => "in_flight",
            Self::LeaseLost => "lease_lost",
            Self::Overloaded { .. } => "overloaded",
            Self::Unavailable { .. } => "unavailable",
            Self::Database { .. } => "database_error",
            Self::Provider { .. } => "provider_failed",
            Self::Delivery { .. } => "delivery_failed",
            Self::Timeout { .. } => "timeout",
            Self::Panicked { .. } => "panicked",
            Self::UnknownLabel { .. } => "unknown_label",
            Self::Configuration(_) => "configuration",
            Self::Internal(_) => "internal_error",
        }
    }

    /// The code and the text of the error, which are stored for operators. The private message is not stored.
    pub fn recorded(&self) -> (String, String) {
        (self.code().to_owned(), self.to_string())
    }

    /// Whether a retry of the failed step with the same input may succeed (section 5 of docs/specification.md).
    pub fn retryable(&self) -> bool {
        match self {
            Self::Overloaded { .. }
            | Self::RateLimited { .. }
            | Self::InFlight { .. }
            | Self::Unavailable { .. }
            | Self::Provider { .. }
            | Self::Delivery { .. }
            | Self::Timeout { .. }
            | Self::Panicked { .. }
            | Self::UnknownLabel { .. } => true,
            Self::Database { transient, .. } => *transient,
            Self::Validation(_)
            | Self::Malformed(_)
            | Self::NotFound(_)
            | Self::IllegalTransition { .. }
            | Self::Conflict(_)
            | Self::AssignedToAnother { .. }
            | Self::NotUnderReview
            | Self::CountChanged { .. }
            | Self::Archived
            | Self::EventsExpired { .. }
            | Self::StaleVersion
            | Self::KeyReused
            | Self::Unauthenticated(_)
            | Self::Credential(_)
            | Self::Forbidden(_)
            | Self::LeaseLost
            | Self::Configuration(_)
            | Self::Internal(_) => false,
        }
    }

    /// The private message, if there is one.
    pub fn private_cause(&self) -> Option<&str> {
        match self {
            Self::Unavailable { cause, .. }
            | Self::Database { cause, .. }
            | Self::Provider { cause, .. }
            | Self::Delivery { cause, .. }
            | Self::Panicked { cause, .. }
            | Self::UnknownLabel { label: cause, .. }
            | Self::Internal(cause) => Some(cause.for_log()),
            Self::Validation(_)
            | Self::Malformed(_)
            | Self::NotFound(_)
            | Self::IllegalTransition { .. }
            | Self::Conflict(_)
            | Self::AssignedToAnother { .. }
            | Self::NotUnderReview
            | Self::CountChanged { .. }
            | Self::Archived
            | Self::EventsExpired { .. }
            | Self::StaleVersion
            | Self::KeyReused
            | Self::Unauthenticated(_)
            | Self::Credential(_)
            | Self::Forbidden(_)
            | Self::RateLimited { .. }
            | Self::InFlight { .. }
            | Self::LeaseLost
            | Self::Overloaded { .. }
            | Self::Timeout { .. }
            | Self::Configuration(_) => None,
        }
    }
}
