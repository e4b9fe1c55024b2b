//! The names of database operations in metrics.
//!
//! A [`FixedStatement`](super::statement::FixedStatement) has a name of its own, which its text starts with. Other
//! statements are named after their verb and first table, such as `select_users`. The number of names is bounded: table
//! names in the text never come from input, and a table name with a digit (a partition) is omitted.

use std::borrow::Cow;

pub(super) const COMMENT_START: &str = "/* ";
pub(super) const COMMENT_END: &str = " */ ";

/// The name of all other statements.
const OTHER: &str = "other";

/// The operation that a statement performs.
pub(super) fn of(sql: &str) -> Cow<'_, str> {
    if let Some((name, _)) = sql.strip_prefix(COMMENT_START).and_then(|text| text.split_once(COMMENT_END)) {
        return name.into();
    }
    let (verb, rest) = sql.trim_start().split_once([' ', ';']).unwrap_or((sql.trim(), ""));
    let (verb, table) = match verb.to_ascii_uppercase().as_str() {
        "SELECT" => ("select", table_after(rest, "FROM ")),
        "INSERT" => ("insert", table_after(rest, "INTO ")),
        "UPDATE" => ("update", table_after(rest, "")),
        "DELETE" => ("delete", table_after(rest, "FROM ")),
        "BEGIN" | "START" => ("begin", None),
        "COMMIT" => ("commit", None),
        "ROLLBACK" => ("rollback", None),
        "SAVEPOINT" | "RELEASE" => ("savepoint", None),
        _ => (OTHER, None),
    };
    match table {
        Some(table) => format!("{verb}_{table}").into(),
        None => verb.to_owned().into(),
    }
}

/// The name after the first `keyword`, if it is a plain name.
fn table_after<'a>(sql: &'a str, keyword: &str) -> Option<&'a str> {
    let (_, rest) = sql.split_once(keyword)?;
    let rest = rest.trim_start().trim_start_matches('"');
    let name = rest.split(|c: char| c.is_whitespace() || "\";,()".contains(c)).next()?;
    let is_plain = !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    is_plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_the_name_of_the_statement_or_its_verb_and_table() {
        for (sql, operation) in [
            (
                "/* publish_outbox */ WITH last AS (SELECT last_offset FROM outbox_position) SELECT 1",
                "publish_outbox",
            ),
            (r#"SELECT "users"."id", "users"."role" FROM "users" WHERE "users"."id" = $1"#, "select_users"),
            (r#"INSERT INTO "failed_jobs" ("id") VALUES ($1)"#, "insert_failed_jobs"),
            (r#"UPDATE "sessions" SET "ended_at" = $1"#, "update_sessions"),
            (r#"DELETE  FROM "outbox" WHERE ("outbox"."seq" = ANY($1))"#, "delete_outbox"),
            ("SELECT pg_try_advisory_lock($1)", "select"),
            ("SELECT * FROM applications_2026_11", "select"),
            ("SELECT count(*) FROM (SELECT 1) AS one", "select"),
            ("BEGIN; SET LOCAL statement_timeout = 5", "begin"),
            ("BEGIN", "begin"),
            ("COMMIT", "commit"),
            ("ROLLBACK TO SAVEPOINT diesel_savepoint_1", "rollback"),
            ("SAVEPOINT diesel_savepoint_1", "savepoint"),
            ("CREATE TABLE applications_2026_11 (LIKE applications)", "other"),
            ("/* not closed", "other"),
            ("", "other"),
        ] {
            assert_eq!(of(sql), operation, "{sql}");
        }
    }
}
