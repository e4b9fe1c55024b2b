//! Verifying the counters against the applications.

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;

/// Selects every group whose counters, including uncounted events, differ from a recount. It is a single statement, so it
/// reads one snapshot even while applications are written. A group of zeros equals an absent group.
///
/// Days are recounted from the live tables only. Once there is an archived month, the counter of a day may exceed its
/// recount, so then only a lower counter is a difference.
const DIFFERENCES: &str = "\
    WITH uncounted AS MATERIALIZED (SELECT o.type, o.subject, o.data FROM outbox o \
        WHERE o.relay_offset IS NULL OR o.relay_offset > (SELECT last_offset FROM statistics_position)), \
    counted AS (SELECT owner, country, status, sum(applications) AS applications, sum(requested_amount) AS amount, \
            sum(risk_low) AS low, sum(risk_medium) AS medium, sum(risk_high) AS high, sum(risk_critical) AS critical, \
            sum(risk_sum) AS risk \
        FROM (SELECT * FROM application_counts \
            UNION ALL \
            SELECT k.owner, e.country, e.status, e.applications, e.requested_amount, e.risk_low, e.risk_medium, e.risk_high, \
                e.risk_critical, e.risk_sum \
            FROM uncounted u CROSS JOIN LATERAL statistics_count_changes(u.type, u.subject, u.data) e \
            CROSS JOIN LATERAL (SELECT '' UNION SELECT e.owner) AS k (owner)) AS c \
        GROUP BY owner, country, status), \
    recounted AS (SELECT owner, country, status, applications, requested_amount AS amount, risk_low AS low, \
            risk_medium AS medium, risk_high AS high, risk_critical AS critical, risk_sum AS risk \
        FROM recount_applications('applications')), \
    days AS (SELECT owner, day, country, sum(created) AS created, sum(requested_amount) AS amount, \
            sum(approved) AS approved, sum(rejected) AS rejected, sum(under_review) AS under_review, \
            sum(cancelled) AS cancelled, sum(approved_amount) AS approved_amount \
        FROM (SELECT * FROM application_days \
            UNION ALL \
            SELECT k.owner, e.day, e.country, e.created, e.requested_amount, e.approved, e.rejected, e.under_review, \
                e.cancelled, e.approved_amount \
            FROM uncounted u CROSS JOIN LATERAL statistics_day_changes(u.type, u.subject, u.data) e \
            CROSS JOIN LATERAL (SELECT '' UNION SELECT e.owner) AS k (owner)) AS d \
        GROUP BY owner, day, country), \
    recounted_days AS (SELECT owner, day, country, created, requested_amount AS amount, approved, rejected, under_review, \
            cancelled, approved_amount \
        FROM recount_application_days()), \
    archive AS (SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = to_regclass('public.applications_archive')) \
        AS has_months) \
    SELECT format('applications of %s in %s that are %s: counted %s, recounted %s', \
            coalesce(nullif(owner, ''), 'all owners'), country, status, to_jsonb(c), to_jsonb(r)) AS difference \
        FROM counted c FULL JOIN recounted r USING (owner, country, status) \
        WHERE (coalesce(c.applications, 0), coalesce(c.amount, 0), coalesce(c.low, 0), coalesce(c.medium, 0), \
                coalesce(c.high, 0), coalesce(c.critical, 0), coalesce(c.risk, 0)) \
            <> (coalesce(r.applications, 0), coalesce(r.amount, 0), coalesce(r.low, 0), coalesce(r.medium, 0), \
                coalesce(r.high, 0), coalesce(r.critical, 0), coalesce(r.risk, 0)) \
    UNION ALL \
    SELECT format('%s of %s in %s: counted %s, recounted %s', \
            day, coalesce(nullif(owner, ''), 'all owners'), country, to_jsonb(c), to_jsonb(r)) \
        FROM days c FULL JOIN recounted_days r USING (owner, day, country) \
        CROSS JOIN LATERAL (SELECT ARRAY[c.created, c.amount, c.approved, c.rejected, c.under_review, c.cancelled, \
            c.approved_amount] AS has, ARRAY[r.created, r.amount, r.approved, r.rejected, r.under_review, r.cancelled, \
            r.approved_amount] AS should) AS a \
        WHERE EXISTS (SELECT FROM unnest(a.has, a.should) AS n (has, should) WHERE coalesce(has, 0) < coalesce(should, 0) \
            OR coalesce(has, 0) > coalesce(should, 0) AND NOT (SELECT has_months FROM archive))";

#[derive(QueryableByName)]
struct Difference {
    #[diesel(sql_type = Text)]
    difference: String,
}

/// Compares the counters with a full recount and returns each difference as a sentence. For verification only: it reads
/// every application.
pub async fn differences(connection: &mut AsyncPgConnection) -> Result<Vec<String>> {
    let rows: Vec<Difference> = diesel::sql_query(DIFFERENCES).load(connection).await?;
    Ok(rows.into_iter().map(|row| row.difference).collect())
}
