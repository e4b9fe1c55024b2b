//! An overview of the database for operators: leaders, sessions and the last recorded errors.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use crate::error::Result;

/// A leader lock and the session that holds it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, diesel::QueryableByName)]
pub struct Leader {
    /// The role, as passed to [`super::leadership::Leadership::try_acquire`].
    #[diesel(sql_type = Text)]
    pub role: String,
    /// The process of the session in PostgreSQL; `None` if there is no leader.
    #[diesel(sql_type = Nullable<Integer>)]
    pub pid: Option<i32>,
    /// The client's address; `None` on a Unix socket.
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
    /// When the session began.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub since: Option<DateTime<Utc>>,
}

/// The leader of each of `roles`. `pg_locks` splits the 64-bit key of an advisory lock into two halves and sets `objsubid`
/// to 1 (PostgreSQL manual, `pg_locks`).
pub async fn leaders(connection: &mut AsyncPgConnection, roles: &[&str]) -> Result<Vec<Leader>> {
    let query = diesel::sql_query(
        "SELECT r.role, a.pid, host(a.client_addr) AS address, a.backend_start AS since \
         FROM unnest($1) AS r (role) \
         LEFT JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended('aval.leader.' || r.role, 0) \
         LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
         ORDER BY r.role",
    );
    Ok(query.bind::<Array<Text>, _>(roles).load(connection).await?)
}

/// The sessions of one client program in one state.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, diesel::QueryableByName)]
pub struct SessionGroup {
    /// The client's `application_name`; `aval` for Aval's own sessions.
    #[diesel(sql_type = Text)]
    pub application: String,
    /// `active`, `idle`, `idle in transaction`, …; `unknown` for sessions that this database user may not inspect.
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

/// The sessions of this database, except the session of this query.
pub async fn sessions(connection: &mut AsyncPgConnection) -> Result<Vec<SessionGroup>> {
    let query = diesel::sql_query(
        "SELECT coalesce(application_name, '') AS application, coalesce(state, 'unknown') AS state, count(*) AS count \
         FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
         GROUP BY 1, 2 ORDER BY 1, 2",
    );
    Ok(query.load(connection).await?)
}

/// An error that a job or a scheduled run ended with. Texts contain no personal data.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, diesel::QueryableByName)]
pub struct RecordedError {
    #[diesel(sql_type = Timestamptz)]
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub at: DateTime<Utc>,
    /// The name of the task.
    #[diesel(sql_type = Text)]
    pub task: String,
    /// The error's code.
    #[diesel(sql_type = Text)]
    pub error_type: String,
    #[diesel(sql_type = Text)]
    pub error_message: String,
}

/// The newest errors of dead letters and scheduled runs, at most `limit`.
pub async fn last_errors(connection: &mut AsyncPgConnection, limit: i64) -> Result<Vec<RecordedError>> {
    let query = diesel::sql_query(
        "(SELECT created_at AS at, task_name AS task, error_type, error_message FROM failed_jobs \
             ORDER BY id DESC LIMIT $1) \
         UNION ALL \
         (SELECT finished_at, task, coalesce(error_type, ''), coalesce(error_message, '') FROM scheduled_runs \
             WHERE outcome = 'failed' ORDER BY id DESC LIMIT $1) \
         ORDER BY at DESC LIMIT $1",
    );
    Ok(query.bind::<BigInt, _>(limit).load(connection).await?)
}
