//! Plans as PostgreSQL's auto_explain logs them, including the plans of statements in functions and triggers.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use serde_json::Value;

use crate::support::db::{TestDatabase, text};

/// A connection whose plans are read.
pub(super) struct Explained {
    pub(super) sql: AsyncPgConnection,
    /// The text that follows the time in the connection's log lines.
    mark: String,
    log: PathBuf,
}

impl Explained {
    pub(super) async fn connect(database: &TestDatabase) -> Self {
        let mut sql = database.connect().await;
        let loaded = sql.batch_execute(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_analyze = on; \
             SET auto_explain.log_timing = off; SET auto_explain.log_nested_statements = on; \
             SET auto_explain.log_format = json",
        );
        if let Err(error) = loaded.await {
            panic!(
                "the plans cannot be checked: this PostgreSQL has no auto_explain (part of postgresql-contrib): {error}"
            );
        }
        let pid = text(&mut sql, "SELECT pg_backend_pid()").await.unwrap();
        let data = text(&mut sql, "SELECT current_setting('data_directory')").await.unwrap();
        let log = Path::new(&data).with_file_name("postgres.log");
        assert!(log.exists(), "the server's log is not at {}", log.display());
        Self { sql, mark: format!("[{pid}] LOG:  duration: "), log }
    }

    /// The plans of all statements that `work` executes.
    pub(super) async fn plans_of(&mut self, work: impl AsyncFnOnce(&mut AsyncPgConnection)) -> Vec<Plan> {
        let from = std::fs::metadata(&self.log).unwrap().len();
        work(&mut self.sql).await;
        let mut file = File::open(&self.log).unwrap();
        file.seek(SeekFrom::Start(from)).unwrap();
        let mut written = Vec::new();
        file.read_to_end(&mut written).unwrap();
        self.read(&String::from_utf8_lossy(&written))
    }

    fn read(&self, log: &str) -> Vec<Plan> {
        let mut plans = Vec::new();
        let mut lines = log.lines().peekable();
        while let Some(line) = lines.next() {
            if !line.contains(&self.mark) || !line.ends_with("plan:") {
                continue;
            }
            let mut json = String::new();
            while let Some(more) = lines.next_if(|line| line.starts_with('\t')) {
                json.push_str(more);
            }
            plans.push(Plan(serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))));
        }
        plans
    }
}

/// The executed plan of one statement.
pub(super) struct Plan(Value);

impl Plan {
    /// The executed nodes.
    fn nodes(&self) -> Vec<&Value> {
        let mut left = vec![&self.0["Plan"]];
        let mut nodes = Vec::new();
        while let Some(node) = left.pop() {
            if node["Actual Loops"].as_f64() > Some(0.0) {
                nodes.push(node);
            }
            left.extend(node["Plans"].as_array().into_iter().flatten());
        }
        nodes
    }

    /// The tables that were read completely; partitions count as their table.
    pub(super) fn fully_read_tables(&self) -> BTreeSet<String> {
        let scans = self.nodes().into_iter().filter(|node| node["Node Type"] == "Seq Scan");
        scans.map(|node| split_month(node["Relation Name"].as_str().unwrap()).0).collect()
    }

    /// The months of a table that were read.
    pub(super) fn months_read(&self, table: &str) -> BTreeSet<String> {
        let scans = self.nodes().into_iter().filter(|node| is_scan(node));
        let relations = scans.filter_map(|node| node["Relation Name"].as_str());
        relations.map(split_month).filter(|(name, _)| name == table).filter_map(|(_, month)| month).collect()
    }

    /// Whether PostgreSQL compiled the statement (JIT).
    pub(super) fn is_compiled(&self) -> bool {
        self.0.get("JIT").is_some()
    }

    /// The tables that were read.
    pub(super) fn tables(&self) -> BTreeSet<String> {
        self.nodes()
            .into_iter()
            .filter_map(|node| node["Relation Name"].as_str())
            .map(str::to_owned)
            .collect()
    }

    /// The indexes that were read.
    pub(super) fn indexes(&self) -> BTreeSet<String> {
        let names = self.nodes().into_iter().filter_map(|node| node["Index Name"].as_str());
        names.map(without_month).collect()
    }

    /// The number of rows that all scans together returned or filtered out, in all loops.
    pub(super) fn rows_examined(&self) -> u64 {
        let count = |node: &Value, member: &str| node[member].as_f64().unwrap_or(0.0);
        let rows = |node: &&Value| {
            let each = count(node, "Actual Rows")
                + count(node, "Rows Removed by Filter")
                + count(node, "Rows Removed by Index Recheck");
            each * count(node, "Actual Loops")
        };
        let all: f64 = self.nodes().iter().filter(|node| node["Relation Name"].is_string()).map(rows).sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
        let all = all as u64;
        all
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0["Query Text"].as_str().unwrap_or_default();
        writeln!(f, "  {text}")?;
        for node in self.nodes() {
            let of = |member: &str| node[member].as_str().unwrap_or_default().to_owned();
            let (rows, loops) = (&node["Actual Rows"], &node["Actual Loops"]);
            let (kind, relation, index) = (of("Node Type"), of("Relation Name"), of("Index Name"));
            let filter = of("Filter");
            writeln!(f, "    {kind} {relation} {index} rows={rows} loops={loops} {filter}")?;
        }
        Ok(())
    }
}

fn is_scan(node: &Value) -> bool {
    node["Node Type"].as_str().is_some_and(|kind| kind.ends_with("Scan"))
}

/// Splits a partition's name: `applications_2026_11` is a month of `applications`.
fn split_month(name: &str) -> (String, Option<String>) {
    let at = name.len().saturating_sub("_2026_11".len());
    match name.split_at_checked(at) {
        Some((table, month)) if is_month(month) => (table.to_owned(), Some(month.to_owned())),
        _ => (name.to_owned(), None),
    }
}

fn is_month(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "_0000_00"
}

/// The name of an index without its month. An index of a partition is named after the partition.
fn without_month(index: &str) -> String {
    let starts = index.char_indices().map(|(at, _)| at);
    for at in starts {
        if let Some(month) = index.get(at..at + "_2026_11".len())
            && is_month(month)
        {
            return index.replacen(month, "", 1);
        }
    }
    index.to_owned()
}
