//! What an error of PostgreSQL means for the work and for its session.
//!
//! The SQLSTATE decides (PostgreSQL, appendix A), and the name of the routine in the server that reported the error
//! where a code alone is too broad. Neither depends on the server's language. Messages are for the log only.

use std::fmt;

/// What follows from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The session can no longer do the work: its prepared statements are out of date, its server takes no writes, or
    /// it has ended. The same work can be done at once on a new session.
    Session,
    /// What the session knows of the schema may be out of date. Only a session that has worked before can be the cause.
    Schema,
    /// The same statement may succeed later.
    Passing,
    /// The same statement would fail again.
    Permanent,
}

/// Classes and codes of errors that end a session, or that every later statement of it would meet.
const SESSION: [&str; 13] = [
    "08",    // connection exceptions
    "25006", // read_only_sql_transaction: the server was demoted, or is a standby
    "25P03", // idle_in_transaction_session_timeout
    "25P04", // transaction_timeout
    "26000", // invalid_sql_statement_name: the server or a pooler has forgotten a prepared statement
    "42P05", // duplicate_prepared_statement: a pooler gave this client the statements of another
    "57P01", // admin_shutdown
    "57P02", // crash_shutdown
    "57P03", // cannot_connect_now
    "57P04", // database_dropped
    "57P05", // idle_session_timeout
    "58000", // system_error: for one, a pooler that has lost its server
    "F0",    // configuration file errors: a server on its way up or down
];

/// Codes that a change of the schema gives to statements that were prepared, or types that were looked up, before it.
const SCHEMA: [&str; 6] = [
    "42704", // undefined_object: a type was replaced
    "42804", // datatype_mismatch
    "42846", // cannot_coerce
    "42883", // undefined_function: no operator for a replaced type
    "42P18", // indeterminate_datatype
    "XX000", // internal_error: "cache lookup failed" for what was dropped
];

/// Classes and codes of errors that pass.
const PASSING: [&str; 7] = [
    "40",    // transaction rollback: serialisation failures and deadlocks
    "53",    // insufficient resources: disk full, out of memory, too many connections
    "55006", // object_in_use
    "55P03", // lock_not_available
    "57014", // query_canceled: statement_timeout
    "58030", // io_error
    "72000", // snapshot_too_old
];

/// The routine that notices that a prepared statement would give other columns than it did. Its code, `0A000`, means
/// "feature not supported" and is permanent everywhere else.
const REVALIDATION: &str = "RevalidateCachedQuery";

impl Failure {
    /// What an error with this SQLSTATE means that `routine` reported.
    pub(super) fn of(code: &str, routine: &str) -> Self {
        let is_in = |codes: &[&str]| codes.iter().any(|known| code.starts_with(known));
        if is_in(&SESSION) || (code == "0A000" && routine == REVALIDATION) {
            Self::Session
        } else if is_in(&SCHEMA) {
            Self::Schema
        } else if is_in(&PASSING) {
            Self::Passing
        } else {
            Self::Permanent
        }
    }
}

/// Where an error came from, as a [watched](super::wire) connection puts it in front of the error's message:
/// `[57P01 ProcessInterrupts; session discarded] terminating connection …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    /// The SQLSTATE.
    pub(super) code: &'a str,
    /// The routine in the server; empty where the server, or a pooler, does not say.
    pub(super) routine: &'a str,
    /// The session is not used again, and the work can be done at once on another.
    pub(super) session_discarded: bool,
}

const DISCARDED: &str = "; session discarded";

impl<'a> Origin<'a> {
    /// Reads what [`fmt::Display`] wrote at the start of a message.
    pub(super) fn read(message: &'a str) -> Option<Self> {
        let (origin, _) = message.strip_prefix('[')?.split_once("] ")?;
        let stripped = origin.strip_suffix(DISCARDED);
        let (code, routine) = stripped.unwrap_or(origin).split_once(' ')?;
        let is_code = code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_code.then_some(Self { code, routine, session_discarded: stripped.is_some() })
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let discarded = if self.session_discarded { DISCARDED } else { "" };
        write!(f, "[{} {}{discarded}] ", self.code, self.routine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_and_the_routine_where_a_code_is_too_broad() {
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
            ("40001", "", Failure::Passing),
            ("40P01", "", Failure::Passing),
            ("53100", "mdextend", Failure::Passing),
            ("57014", "ProcessInterrupts", Failure::Passing),
            ("55006", "", Failure::Passing),
            ("23505", "_bt_check_unique", Failure::Permanent),
            ("22P02", "", Failure::Permanent),
            ("42501", "aclcheck_error", Failure::Permanent),
            ("42P01", "parserOpenTable", Failure::Permanent),
        ] {
            assert_eq!(Failure::of(code, routine), failure, "{code} {routine}");
        }
    }

    #[test]
    fn an_origin_is_read_as_it_was_written_and_no_other_text_is_one() {
        for origin in [
            Origin { code: "57P01", routine: "ProcessInterrupts", session_discarded: true },
            Origin { code: "08P01", routine: "", session_discarded: false },
        ] {
            assert_eq!(Origin::read(&format!("{origin}la base de datos")), Some(origin));
        }
        for text in ["deadlock detected", "[57P01]", "[57P0 a] b", "[-7P01 a] b", ""] {
            assert_eq!(Origin::read(text), None, "{text}");
        }
    }
}
