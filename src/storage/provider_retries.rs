//! Applications that were decided without the bureau's figures and are scheduled for a re-decision.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, SmallInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::jobs::Priority;
use super::schema::sql_types;
use super::statement::{Binder, FixedStatement, Prepared};
use super::types::PgLabel;
use crate::domain::application::Country;
use crate::error::Result;

/// How many applications of a country to queue, and the delay between re-decisions of one application.
#[derive(Debug, Clone, Copy)]
pub struct Requeue {
    /// The country whose bureau is available again.
    pub country: Country,
    /// The maximum number of applications.
    pub limit: i32,
    /// The first delay, in milliseconds.
    pub min_interval_ms: i64,
    /// The maximum delay, in milliseconds.
    pub max_interval_ms: i64,
}

struct RequeueDue {
    country: &'static str,
    requeue: Requeue,
    priority: i16,
}

impl FixedStatement for RequeueDue {
    const NAME: &'static str = "requeue_due";
    /// Each attempt doubles the delay. Applications that have meanwhile been decided or deleted are skipped. The queue's
    /// unique index skips applications with an active job.
    ///
    /// `CASE` hides the status from the planner, as in [`begin`](crate::storage::applications::begin).
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::text::country AS country, ?::integer AS batch, ?::bigint AS min_ms, ?::bigint AS max_ms, \
            ?::smallint AS priority), \
        due AS (SELECT r.application_id FROM provider_retries r JOIN input i ON r.country = i.country \
            WHERE r.next_at <= now() ORDER BY r.next_at LIMIT (SELECT batch FROM input) FOR UPDATE OF r SKIP LOCKED), \
        tried AS (UPDATE provider_retries r SET attempts = r.attempts + 1, next_at = now() + interval '1 millisecond' \
                * least(i.max_ms, i.min_ms * power(2, least(r.attempts + 1, 20)))::bigint \
            FROM due, input i WHERE r.application_id = due.application_id RETURNING r.application_id), \
        queued AS (SELECT enqueue_job('process_credit_application', t.application_id, a.country::text, i.priority, \
                a.change_request_id, a.change_traceparent) \
            FROM input i CROSS JOIN tried t JOIN applications a ON a.id = t.application_id \
            WHERE CASE WHEN a.deleted_at IS NULL THEN a.status = 'UNDER_REVIEW' END) \
        SELECT count(*) AS count FROM queued";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(self.country)?;
        binder.bind::<Integer, _>(&self.requeue.limit)?;
        binder.bind::<BigInt, _>(&self.requeue.min_interval_ms)?;
        binder.bind::<BigInt, _>(&self.requeue.max_interval_ms)?;
        binder.bind::<SmallInt, _>(&self.priority)
    }
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Queues the due re-decisions of a country and returns how many it queued.
pub async fn requeue_due(connection: &mut AsyncPgConnection, requeue: Requeue) -> Result<i64> {
    let statement =
        RequeueDue { country: requeue.country.code(), requeue, priority: Priority::Redecision.value() };
    let counted: Counted = Prepared(statement).get_result(connection).await?;
    Ok(counted.count)
}

struct CountriesDue;

impl FixedStatement for CountriesDue {
    const NAME: &'static str = "countries_due";
    /// Needs only one index lookup per country, however many applications are scheduled.
    const SQL: &'static str = "\
        SELECT c.country FROM unnest(enum_range(NULL::country)) AS c (country) \
        WHERE (SELECT r.next_at FROM provider_retries r WHERE r.country = c.country ORDER BY r.next_at LIMIT 1) <= now()";

    fn bind<'b>(&'b self, _: &mut Binder<'_, 'b>) -> QueryResult<()> {
        Ok(())
    }
}

#[derive(QueryableByName)]
struct CountryDue {
    #[diesel(sql_type = sql_types::Country)]
    country: PgLabel<Country>,
}

/// The countries with due re-decisions.
pub async fn countries_due(connection: &mut AsyncPgConnection) -> Result<Vec<Country>> {
    let due: Vec<CountryDue> = Prepared(CountriesDue).load(connection).await?;
    // Countries unknown to this version are left to newer instances.
    Ok(due.into_iter().filter_map(|row| row.country.0.known()).collect())
}
