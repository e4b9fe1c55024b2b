//! Planner settings that keep statements on their indexes, regardless of PostgreSQL's statistics about the tables.
//!
//! The statements that serve requests find few rows, each by an index. PostgreSQL plans them differently when it
//! considers a table small: before the first `ANALYZE`, with statistics from a time of low load, or when a prepared
//! statement was planned while the table was small (that plan is kept until the next analyse or vacuum). With such a plan,
//! each statement reads or hashes the whole table, even after the table has grown. Therefore these plans are disabled.
//!
//! JIT compilation is off because its threshold is an estimated cost: with wrong estimates it adds hundreds of
//! milliseconds to a small statement.

/// Settings of the pool's sessions. `storage/archive.rs` reads whole tables on other connections. A pooler in
/// transaction mode loses session settings; in that case they are set for the role.
pub const SESSION: [(&str, &str); 2] = [("jit", "off"), ("enable_seqscan", "off")];

/// The SQL that applies [`SESSION`].
pub fn session_setup() -> String {
    SESSION.map(|(name, value)| format!("SET {name} = {value}")).join("; ")
}

/// Begins a transaction that reads a list in the order of an index, so it stops after one page.
pub const BEGIN_LIST: &str = "\
    BEGIN READ ONLY; SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
    SET LOCAL enable_sort = off";

/// Begins a transaction that searches members of JSON data. Their index is unordered, so the results must be sorted.
/// Without statistics, PostgreSQL may choose another index, which is one reason why searches have a short timeout.
pub const BEGIN_SEARCH: &str = "BEGIN READ ONLY; SET LOCAL jit = off; SET LOCAL enable_seqscan = off";

/// Begins a transaction that writes. Each statement joins few rows by key and sorts nothing that an index does not
/// order, so only nested loops over index scans remain. The settings end with the transaction and work through every
/// pooler.
pub const BEGIN: &str = "\
    BEGIN; SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
    SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_sort = off";

/// Begins a transaction that reads or compares rows of a table with many partitions. Its statements are planned for their
/// values, so the plan contains only the partitions that the values allow. A cached plan would contain all of them and
/// lock each one before it runs.
pub const BEGIN_PRUNED: &str = "\
    BEGIN READ ONLY; SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = off; \
    SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
    SET LOCAL enable_sort = off";
