//! Classifies PostgreSQL errors by their consequences for the statement and its session.
//!
//! The class depends on the SQLSTATE (PostgreSQL documentation, appendix A) and, where that is too broad, on the name of
//! the server routine that reported the error. Neither depends on the server's language. Messages are only logged.

use std::fmt;

/// The consequence of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The session is no longer usable: its prepared statements are outdated, its server is read-only, or it has ended.
    /// The same work can be repeated immediately in a new session.
    Session,
    /// The session's cached schema may be outdated. This is only possible in a session that was used before.
    Schema,
    /// The same statement may succeed later.
    Transient,
    /// The same statement would fail again.
    Permanent,
}

/// Classes and codes of errors that end a session or affect all its later statements.
const SESSION: [&str; 13] = [
    "08",    // connection exceptions
    "25006", // read_only_sql_transaction: the server was demoted, or is a standby
    "25P03", // idle_in_transaction_session_timeout
    "25P04", // transaction_timeout
    "26000", // invalid_sql_statement_name: the server or a pooler no longer has the prepared statement
    "42P05", // duplicate_prepared_statement: a pooler assigned a session with another client's statements
    "57P01", // admin_shutdown
    "57P02", // crash_shutdown
    "57P03", // cannot_connect_now
    "57P04", // database_dropped
    "57P05", // idle_session_timeout
    "58000", // system_error: for example, a pooler that lost its server connection
    "F0",    // configuration file errors: the server is starting or stopping
];

/// Codes of errors that can occur if the schema has changed since a statement was prepared or its types were looked up.
const SCHEMA: [&str; 6] = [
    "42704", // undefined_object: a type was replaced
    "42804", // datatype_mismatch
    "42846", // cannot_coerce
    "42883", // undefined_function: no operator for a replaced type
    "42P18", // indeterminate_datatype
    "XX000", // internal_error: "cache lookup failed" for a dropped object
];

/// Classes and codes of transient errors.
const TRANSIENT: [&str; 7] = [
    "40",    // transaction rollback: serialization failures and deadlocks
    "53",    // insufficient resources: disk full, out of memory, too many connections
    "55006", // object_in_use
    "55P03", // lock_not_available
    "57014", // query_canceled: statement_timeout
    "58030", // io_error
    "72000", // snapshot_too_old
];

/// The routine that detects that a prepared statement's result columns have changed. It reports `0A000`, which means
/// "feature not supported" and is a permanent error in every other routine.
const REVALIDATION: &str = "RevalidateCachedQuery";

impl Failure {
    /// Classifies an error by its SQLSTATE and the routine that reported it.
    pub(super) fn of(code: &str, routine: &str) -> Self {
        let is_in = |codes: &[&str]| codes.iter().any(|known| code.starts_with(known));
        if is_in(&SESSION) || (code == "0A000" && routine == REVALIDATION) {
            Self::Session
        } else if is_in(&SCHEMA) {
            Self::Schema
        } else if is_in(&TRANSIENT) {
            Self::Transient
        } else {
            Self::Permanent
        }
    }
}

/// The origin of an error, which a [watched](super::wire) connection prepends to the error's message: `[57P01
/// ProcessInterrupts; session discarded] terminating connection …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ErrorOrigin<'a> {
    /// The SQLSTATE.
    pub(super) code: &'a str,
    /// The routine in the server; empty if the server or a pooler does not report it.
    pub(super) routine: &'a str,
    /// Whether the session is discarded. The same work can then be repeated immediately in another session.
    pub(super) session_discarded: bool,
}

const DISCARDED: &str = "; session discarded";

impl<'a> ErrorOrigin<'a> {
    /// Parses the prefix that [`fmt::Display`] writes.
    pub(super) fn read(message: &'a str) -> Option<Self> {
        let (origin, _) = message.strip_prefix('[')?.split_once("] ")?;
        let stripped = origin.strip_suffix(DISCARDED);
        let (code, routine) = stripped.unwrap_or(origin).split_once(' ')?;
        let is_code = code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_code.then_some(Self { code, routine, session_discarded: stripped.is_some() })
    }
}

impl fmt::Display for ErrorOrigin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let discarded = if self.session_discarded { DISCARDED } else { "" };
        write!(f, "[{} {}{discarded}] ", self.code, self.routine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classified_by_code_and_where_needed_by_routine() {
        for (code, routine, failure) in [
            ("0A000", "RevalidateCachedQuery", Failure::Session),
            ("0A000", "transformLockingClause", Failure::Permanent),
            ("08006", "", Failure::Session),
            ("08P01", "", Failure::Session),
            ("25006", "PreventCommandIfReadOnly", Failure::Session),
            ("26000", "FetchPreparedStatement", Failure::Session),
            ("57P01", "ProcessInterrupts", Failure::Session),
            ("57P03", "ProcessStartupPacket", Failure::Session),
            ("42883", "op_error", Failure::Schema),
            ("XX000", "", Failure::Schema),
            ("40001", "", Failure::Transient),
            ("40P01", "", Failure::Transient),
            ("53100", "mdextend", Failure::Transient),
            ("57014", "ProcessInterrupts", Failure::Transient),
            ("55006", "", Failure::Transient),
            ("23505", "_bt_check_unique", Failure::Permanent),
            ("22P02", "", Failure::Permanent),
            ("42501", "aclcheck_error", Failure::Permanent),
            ("42P01", "parserOpenTable", Failure::Permanent),
        ] {
            assert_eq!(Failure::of(code, routine), failure, "{code} {routine}");
        }
    }

    #[test]
    fn an_origin_round_trips_and_other_texts_are_not_parsed() {
        for origin in [
            ErrorOrigin { code: "57P01", routine: "ProcessInterrupts", session_discarded: true },
            ErrorOrigin { code: "08P01", routine: "", session_discarded: false },
        ] {
            assert_eq!(ErrorOrigin::read(&format!("{origin}la base de datos")), Some(origin));
        }
        for text in ["deadlock detected", "[57P01]", "[57P0 a] b", "[-7P01 a] b", ""] {
            assert_eq!(ErrorOrigin::read(text), None, "{text}");
        }
    }
}
