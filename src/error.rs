//! The one error of the house.
//!
//! An [`Error`] knows three things apart: a stable `code` that clients and dashboards may match on, a
//! [`PublicMessage`] that a client may read, and a [`PrivateMessage`] that only the log may read. They are
//! different types, so that a private text cannot slip into an answer. It knows nothing of HTTP: the mapping
//! to a status code lives in `http::problem`.
//!
//! Whether a failed step is worth another try is decided in one place, [`Error::retryable`], by a match
//! without a wildcard arm: a new kind of failure does not compile until somebody has decided.

use std::fmt;
use std::time::Duration;

/// A result with the house's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Text that a client may read: never a personal datum, never an internal detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicMessage(String);

impl PublicMessage {
    /// Marks `text` as fit for a client's eyes.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for PublicMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text for the log alone. It has no `Display`: reading it takes the explicit [`PrivateMessage::for_log`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateMessage(String);

impl PrivateMessage {
    /// Wraps a detail that must not leave the process except through its log.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the log.
    pub fn for_log(&self) -> &str {
        &self.0
    }
}

/// One thing that is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where it is: an RFC 6901 JSON pointer into the body (`/monthly_income`), or `?name` for a query
    /// parameter.
    pub pointer: String,
    /// A stable reason code, such as `bad_check_digit`.
    pub code: &'static str,
    /// A sentence for the person who sent it. It never repeats the value.
    pub detail: String,
}

impl FieldError {
    /// A new field error.
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// Why a credential is refused, as far as its holder may know: nothing but its form is told of one that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialFault {
    /// It proves nothing: a wrong signature or secret, another issuer, or a time to come.
    Unproven,
    /// It has not the form of a credential.
    Malformed,
    /// It has the form of another kind of credential than the one that belongs there.
    WrongKind,
    /// It was good until its end.
    Expired,
    /// It was good until it was revoked, or its account disabled or changed.
    Revoked,
}

impl CredentialFault {
    /// The stable code.
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
                "This is another kind of credential: access tokens belong into Authorization: Bearer, API keys into \
                 X-API-Key, refresh tokens into the body of /api/v1/auth/refresh."
            }
            Self::Expired => "The credential has expired.",
            Self::Revoked => "The credential has been revoked, or its account was disabled or changed.",
        }
    }
}

/// Everything that can go wrong in Aval.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request was understood but some of its fields are not acceptable.
    #[error("validation failed")]
    Validation(Vec<FieldError>),
    /// The request could not be read at all (malformed JSON, a bad path or query).
    #[error("malformed request: {0}")]
    Malformed(PublicMessage),
    /// The thing does not exist, or not for this caller.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// A status change that the status machine does not know.
    #[error("an application cannot go from {from} to {to}")]
    IllegalTransition {
        /// The status that the application has.
        from: &'static str,
        /// The status that was asked for.
        to: &'static str,
        /// The statuses that the caller could ask for instead.
        allowed: Vec<&'static str>,
    },
    /// The state of the resource does not allow the request.
    #[error("conflict: {0}")]
    Conflict(PublicMessage),
    /// The application is in the archive, where nothing changes.
    #[error("the application is archived")]
    Archived,
    /// The resource has another version than the one that the change is meant for.
    #[error("the resource has another version")]
    StaleVersion,
    /// The idempotency key belongs to another request.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// The caller did not say, or did not prove, who it is.
    #[error("not authenticated: {0}")]
    Unauthenticated(PublicMessage),
    /// The caller sent a credential that is refused.
    #[error("credential refused: {}", .0.code())]
    Credential(CredentialFault),
    /// The caller may not do this.
    #[error("forbidden: {0}")]
    Forbidden(PublicMessage),
    /// The caller asks more often than it may.
    #[error("rate limited")]
    RateLimited {
        /// When to come back.
        retry_after: Duration,
    },
    /// An equal request is still being worked on.
    #[error("an equal request is in flight")]
    InFlight {
        /// When to come back.
        retry_after: Duration,
    },
    /// This worker no longer owns the job that it was writing for.
    #[error("the lease on the job was lost")]
    LeaseLost,
    /// A mailbox, queue or pool is full; the caller may come back.
    #[error("overloaded: {what}")]
    Overloaded {
        /// What is full.
        what: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
    /// A part of the system cannot be reached for now.
    #[error("unavailable: {what}")]
    Unavailable {
        /// Which part.
        what: &'static str,
        /// The cause, for the log.
        cause: PrivateMessage,
    },
    /// The database refused or failed a statement.
    #[error("database error")]
    Database {
        /// Whether the same statement may succeed when it is sent again.
        transient: bool,
        /// Whether the session was at fault, and nothing was done: the same work can be done at once on another session.
        session_lost: bool,
        /// The cause, for the log.
        cause: PrivateMessage,
    },
    /// A bureau could not answer.
    #[error("provider {provider} failed: {reason}")]
    Provider {
        /// The bureau's name.
        provider: &'static str,
        /// A stable word for the kind of failure, such as `timeout`.
        reason: &'static str,
        /// The cause, for the log.
        cause: PrivateMessage,
    },
    /// Something took longer than it may.
    #[error("{what} timed out after {after:?}")]
    Timeout {
        /// What took too long.
        what: &'static str,
        /// How long it was given.
        after: Duration,
    },
    /// A piece of work panicked.
    #[error("{what} panicked")]
    Panicked {
        /// The work that panicked.
        what: &'static str,
        /// The panic's message, for the log.
        cause: PrivateMessage,
    },
    /// A stored word of a closed set that this version does not know: a newer one wrote it.
    #[error("an unknown {what} is stored")]
    UnknownLabel {
        /// Which set, such as `account_role`.
        what: &'static str,
        /// The word, for the log.
        label: PrivateMessage,
    },
    /// Configuration that cannot be run with. Shown to the operator at boot.
    #[error("configuration: {0}")]
    Configuration(PublicMessage),
    /// A defect of Aval itself.
    #[error("internal error")]
    Internal(PrivateMessage),
}

impl Error {
    /// One failed field.
    pub fn field(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Validation(vec![FieldError::new(pointer, code, detail)])
    }

    /// A defect, described for the log.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::Internal(PrivateMessage::new(cause.to_string()))
    }

    /// A part that cannot be reached, with its cause for the log.
    pub fn unavailable(what: &'static str, cause: impl fmt::Display) -> Self {
        Self::Unavailable { what, cause: PrivateMessage::new(cause.to_string()) }
    }

    /// A stored word that this version does not know, of the set `what`.
    pub fn unknown_label(what: &'static str, label: impl fmt::Display) -> Self {
        Self::UnknownLabel { what, label: PrivateMessage::new(label.to_string()) }
    }

    /// Unusable configuration, described for the operator.
    pub fn configuration(text: impl fmt::Display) -> Self {
        Self::Configuration(PublicMessage::new(text.to_string()))
    }

    /// The stable code of this kind of error, for clients, dashboards and dead letters.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Validation(_) => "validation_failed",
            Self::Malformed(_) => "malformed_request",
            Self::NotFound(_) => "not_found",
            Self::IllegalTransition { .. } => "illegal_transition",
            Self::Conflict(_) => "conflict",
            Self::Archived => "archived",
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
            Self::Timeout { .. } => "timeout",
            Self::Panicked { .. } => "panicked",
            Self::UnknownLabel { .. } => "unknown_label",
            Self::Configuration(_) => "configuration",
            Self::Internal(_) => "internal_error",
        }
    }

    /// Whether the step that failed may succeed when it is tried again with the same input (docs/specification.md 5:
    /// errors are
    /// permanent or recoverable).
    pub fn retryable(&self) -> bool {
        match self {
            Self::Overloaded { .. }
            | Self::RateLimited { .. }
            | Self::InFlight { .. }
            | Self::Unavailable { .. }
            | Self::Provider { .. }
            | Self::Timeout { .. }
            | Self::Panicked { .. }
            | Self::UnknownLabel { .. } => true,
            Self::Database { transient, .. } => *transient,
            Self::Validation(_)
            | Self::Malformed(_)
            | Self::NotFound(_)
            | Self::IllegalTransition { .. }
            | Self::Conflict(_)
            | Self::Archived
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

    /// The detail that only the log may see, where there is one.
    pub fn private_cause(&self) -> Option<&str> {
        match self {
            Self::Unavailable { cause, .. }
            | Self::Database { cause, .. }
            | Self::Provider { cause, .. }
            | Self::Panicked { cause, .. }
            | Self::UnknownLabel { label: cause, .. }
            | Self::Internal(cause) => Some(cause.for_log()),
            Self::Validation(_)
            | Self::Malformed(_)
            | Self::NotFound(_)
            | Self::IllegalTransition { .. }
            | Self::Conflict(_)
            | Self::Archived
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
