//! Planner settings under which a statement keeps its index whatever PostgreSQL believes about its tables.
//!
//! The statements of serving find few rows, each by an index. PostgreSQL plans them otherwise when it takes a table for
//! small: before the first `ANALYZE`, when the statistics are of a quiet night, or when the plan of a prepared statement was
//! made while the table was small (it is kept until the table is analysed or vacuumed). Such a plan reads the whole
//! table, or hashes it, for each of a burst's statements. So the alternatives are taken away.
//!
//! JIT compilation is off because its threshold is an estimated cost: wrong estimates cost a small statement hundreds of
//! milliseconds.

/// What the sessions of the pool set. Reading whole tables in `storage/archive.rs` happens on other connections. A pooler in
/// transaction mode loses what a session sets: there the role gets these settings.
pub const SESSION: [(&str, &str); 2] = [("jit", "off"), ("enable_seqscan", "off")];

/// The statement that sets them.
pub fn session_setup() -> String {
    SESSION.map(|(name, value)| format!("SET {name} = {value}")).join("; ")
}

/// Begins a transaction that reads a list: in the order of an index, so that it stops after its page.
pub const BEGIN_LIST: &str = "\
    BEGIN READ ONLY; SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
    SET LOCAL enable_sort = off";

/// Begins a transaction that looks for members of JSON data. Their index gives no order, so that what it finds is sorted;
/// without statistics PostgreSQL may read another index. Its time is short for that reason too.
pub const BEGIN_SEARCH: &str = "BEGIN READ ONLY; SET LOCAL jit = off; SET LOCAL enable_seqscan = off";

/// Begins a transaction. Each statement joins few rows to tables by their keys and sorts nothing that an index does not
/// order, so that nested loops over index scans remain. The settings end with the transaction and survive every pooler.
pub const BEGIN: &str = "\
    BEGIN; SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
    SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_sort = off";
