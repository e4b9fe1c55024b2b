//! The executed plans of all queries in `storage/`. Each function is called repeatedly on a database with months of
//! rows, so cached plans of prepared statements are covered too. No query may read a growing table completely, and a query
//! about one application may only read one month.
//!
//! Each function of `storage/` that takes a connection needs a case in [`cases`]: its name, the number of months that it may
//! read, the indexes that it must use, and a call that succeeds. A test checks that no function lacks a case.

mod cases;
mod explain;
mod fill;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aval::domain::decision::RiskBand;
use aval::storage::applications::{ListFilter, TotalBounds, Visibility, total};
use aval::storage::ingest::{EventListFilter, list_page};
use aval::storage::planner;
use diesel_async::SimpleAsyncConnection as _;

use self::cases::{CASES, Case};
use self::explain::{Explained, Plan};
use self::fill::{FEW, FORGET_STATISTICS, MANY, World};
use crate::support::db::{TestDatabase, execute, text};
use crate::support::engine::{key_ring, settings};

/// Tables that may be read completely, with the reason. The system catalogue may be read as well.
const SMALL: [(&str, &str); 8] = [
    ("funding_pool_shares", "16 rows per country"),
    ("consumer_partitions", "16 rows per consumer"),
    ("consumer_instances", "one row per consumer and instance"),
    ("outbox_position", "one row"),
    ("statistics_position", "one row"),
    ("circuit_overrides", "one row per country"),
    ("paused_lanes", "one row per lane"),
    ("webhook_endpoints", "at most webhook_delivery.max_endpoints rows"),
];

/// Full scans that a function may begin because they stop early, with the reason.
const BOUNDED: [(&str, &str, &str); 3] = [
    ("users::any", "users", "at the first row"),
    ("jobs::figures::depth", "pending_jobs", "at QUEUE_COUNT_LIMIT"),
    ("jobs::figures::dead_letters", "failed_jobs", "at QUEUE_COUNT_LIMIT for each status"),
];

/// Functions without a case, with the reason. A name that ends with `::` stands for a whole module.
const WITHOUT_PLAN: [(&str, &str); 16] = [
    ("disbursements::check::violations", "reads everything, on an operator's command"),
    ("migrations::status", "reads the list of migrations"),
    ("replica::replayed_until", "reads no table"),
    ("archive::", "moves and reads whole months, once per month or on an operator's command"),
    ("ingest::days::", "reads the catalogue, and creates and drops tables"),
    ("jobs::claim::explain_claim", "returns the plan of a claim"),
    ("partitions::ensure", "creates tables and reads none"),
    ("overview::leaders", "reads locks and sessions, on an operator's command"),
    ("overview::sessions", "reads sessions, on an operator's command"),
    ("partitions::months_ahead", "reads the catalogue"),
    ("partitions::job_history_before", "reads the catalogue"),
    ("partitions::drop_job_history", "drops a table and reads none"),
    ("reencrypt::count_remaining", "reads everything, on an operator's command"),
    ("statistics::differences::differences", "reads everything, for verification only"),
    ("transaction::", "runs statements of its callers"),
    ("users::password_costs", "reads all accounts, once per start of an instance"),
];

/// The number of calls of each case. PostgreSQL plans a prepared statement for its values five times. After that, it may
/// cache a generic plan.
const CALLS: usize = 7;

/// The violations in the plans of one call.
fn violations(case: &Case, plans: &[Plan]) -> Vec<String> {
    let mut violations = Vec::new();
    if plans.is_empty() {
        violations.push("no plan was logged".to_owned());
    }
    for plan in plans {
        for table in plan.fully_read_tables() {
            let is_small = table.starts_with("pg_") || SMALL.iter().any(|(small, _)| *small == table);
            let is_bounded = BOUNDED.iter().any(|(name, of, _)| *name == case.name && *of == table);
            if !is_small && !is_bounded {
                violations.push(format!("reads all of {table}\n{plan}"));
            }
        }
        for table in ["applications", "audit_logs", "decisions"] {
            let months = plan.months_read(table);
            if months.len() > case.months {
                violations.push(format!("reads {months:?} of {table}\n{plan}"));
            }
        }
    }
    for index in case.indexes {
        if !plans.iter().any(|plan| plan.indexes().iter().any(|used| used.contains(index))) {
            let used: BTreeSet<String> = plans.iter().flat_map(Plan::indexes).collect();
            violations.push(format!("does not use {index}, but {used:?}"));
        }
    }
    violations
}

/// Functions that run in a transaction of `storage/transaction.rs`, by the beginning of their names.
const TRANSACTIONS: [&str; 29] = [
    "consumers::",
    "applications::candidates::by_ids",
    "applications::change",
    "applications::insert",
    "decisions::store",
    "deliveries::",
    "disbursements::",
    "failed_jobs::mark",
    "idempotency::",
    "applications::begin",
    "ingest::dead_letters::insert",
    "ingest::dead_letters::trim",
    "ingest::dead_letters::delete",
    "jobs::dead_letter",
    "jobs::claim",
    "jobs::release",
    "jobs::renew",
    "jobs::finish",
    "outbox::delete_expired",
    "outbox::publish",
    "outbox::read_after",
    "provider_retries::requeue_due",
    "refresh_tokens::find",
    "refresh_tokens::rotate",
    "reviews::",
    "statistics::project",
    "statistics::days",
    "statistics::read",
    "users::lock",
];

/// PostgreSQL's statistics about the tables.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TableStatistics {
    /// Current statistics.
    Current,
    /// No statistics, or outdated ones from small tables.
    MissingOrOutdated,
}

/// Searches by members of JSON data, whose index is unordered.
const SEARCHES: [&str; 2] =
    ["applications::list::list_page of data", "applications::list::list_page of a report"];

/// Cases that need statistics to use their index: searches, which have a short timeout, and lists for operators.
const NEED_STATISTICS: [&str; 4] = [
    SEARCHES[0],
    SEARCHES[1],
    "failed_jobs::list::list_page of a status",
    "deliveries::list::list_page of a status",
];

/// Functions that run in a transaction for lists, by the beginning of their name.
const LISTS: [&str; 3] = ["applications::list", "applications::total", "applications::candidates::by_filter"];

/// Functions that read partitions of ingested events.
const PRUNED: [&str; 2] = ["ingest::insert::matching", "ingest::list"];

/// The SQL that begins the transaction of a case; `None` if the case is a single statement.
fn begin(case: &Case) -> Option<&'static str> {
    if SEARCHES.contains(&case.name) {
        Some(planner::BEGIN_SEARCH)
    } else if PRUNED.iter().any(|name| case.name.starts_with(name)) {
        Some(planner::BEGIN_PRUNED)
    } else if LISTS.iter().any(|name| case.name.starts_with(name)) {
        Some(planner::BEGIN_LIST)
    } else {
        TRANSACTIONS.iter().any(|name| case.name.starts_with(name)).then_some(planner::BEGIN)
    }
}

/// Runs each case several times and returns the violations in its plans. Transactions run in a session with PostgreSQL's
/// default settings, as behind a pooler in transaction mode. Single statements run in a session with the pool's settings.
async fn wrong_plans(
    database: &TestDatabase,
    world: &World,
    table_statistics: TableStatistics,
) -> Vec<String> {
    let mut sql = database.connect().await;
    let name = text(&mut sql, "SELECT current_database()").await.unwrap();
    execute(&mut sql, &format!("ALTER DATABASE {name} SET jit = on")).await.unwrap();
    let mut behind_pooler = Explained::connect(database).await;
    let mut in_pool = Explained::connect(database).await;
    in_pool.sql.batch_execute(&planner::session_setup()).await.unwrap();
    let mut wrong = Vec::new();
    for case in CASES
        .iter()
        .filter(|case| table_statistics == TableStatistics::Current || !NEED_STATISTICS.contains(&case.name))
    {
        let (explained, begin) = match begin(case) {
            Some(begin) => (&mut behind_pooler, begin),
            None => (&mut in_pool, "BEGIN"),
        };
        for round in 0..CALLS {
            explained.sql.batch_execute(begin).await.unwrap();
            let mut outcome = Ok(());
            // A statement's plan is logged when the next one begins.
            let plans = explained
                .plans_of(async |sql| {
                    outcome = (case.call)(sql, world).await;
                    execute(sql, "ROLLBACK").await.unwrap();
                })
                .await;
            let mut violations = violations(case, &plans);
            violations.extend(
                plans.iter().filter(|plan| plan.is_compiled()).map(|plan| format!("compiles\n{plan}")),
            );
            violations.extend(outcome.err());
            if !violations.is_empty() {
                wrong.push(format!("{} (call {round}): {}", case.name, violations.join("\n")));
                break;
            }
        }
    }
    wrong
}

#[track_caller]
fn assert_no_violations(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[actix_rt::test]
async fn every_query_uses_its_index_and_reads_only_the_necessary_months() {
    let database = TestDatabase::create().await;
    let world = World::fill(&database, MANY).await;
    execute(&mut database.connect().await, "VACUUM ANALYZE").await.unwrap();
    assert_no_violations(&wrong_plans(&database, &world, TableStatistics::Current).await);
}

#[actix_rt::test]
async fn every_query_uses_its_index_without_statistics() {
    let database = TestDatabase::create().await;
    let world = World::fill(&database, MANY).await;
    database.connect().await.batch_execute(FORGET_STATISTICS).await.unwrap();
    assert_no_violations(&wrong_plans(&database, &world, TableStatistics::MissingOrOutdated).await);
}

/// Plans that were cached while the tables were small are used after they have grown.
#[actix_rt::test]
async fn every_query_uses_its_index_even_when_planned_on_small_tables() {
    let database = TestDatabase::create().await;
    let world = World::fill(&database, FEW).await;
    execute(&mut database.connect().await, "VACUUM ANALYZE").await.unwrap();
    assert_no_violations(&wrong_plans(&database, &world, TableStatistics::MissingOrOutdated).await);
}

/// With the statistics of a short queue, the planner estimates a full read to be as cheap as index lookups.
#[actix_rt::test]
async fn jobs_are_found_by_key_when_the_queue_has_grown_since_its_last_analyse() {
    const BY_KEY: [&str; 6] = [
        "decisions::store",
        "applications::begin::begin",
        "jobs::dead_letter::move_to_dead_letters",
        "jobs::renew",
        "jobs::release",
        "jobs::finish::supersede",
    ];
    let database = TestDatabase::create().await;
    let world = World::fill(&database, FEW).await;
    let mut sql = database.connect().await;
    execute(&mut sql, "ALTER TABLE pending_jobs SET (autovacuum_enabled = off)").await.unwrap();
    execute(&mut sql, "ANALYZE").await.unwrap();
    let grow = "INSERT INTO pending_jobs (task_name, lane, application_id, run_at) \
        SELECT 'process_credit_application', 'ES', gen_random_uuid(), now() FROM generate_series(1, 20000)";
    execute(&mut sql, grow).await.unwrap();
    let mut explained = Explained::connect(&database).await;
    for case in CASES.iter().filter(|case| BY_KEY.contains(&case.name)) {
        for _ in 0..CALLS {
            explained.sql.batch_execute(planner::BEGIN).await.unwrap();
            let mut outcome = Ok(());
            let plans = explained
                .plans_of(async |sql| {
                    outcome = (case.call)(sql, &world).await;
                    execute(sql, "ROLLBACK").await.unwrap();
                })
                .await;
            assert_eq!(outcome, Ok(()), "{}", case.name);
            for plan in plans {
                assert!(plan.rows_examined() < 1000, "{}:\n{plan}", case.name);
            }
        }
    }
}

/// `file::function` of all public functions in `src/storage` that take a connection.
fn functions(folder: &Path, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let module = if name == "mod" { prefix.to_owned() } else { format!("{prefix}{name}::") };
        if path.is_dir() {
            found.extend(functions(&path, &module));
        } else {
            let text = fs::read_to_string(&path).unwrap();
            for declared in text.split("pub async fn ").skip(1) {
                let (head, rest) = declared.split_once('(').unwrap();
                let takes_connection = rest.trim_start().starts_with("connection: &mut AsyncPgConnection");
                if takes_connection {
                    found.insert(format!("{module}{}", head.split('<').next().unwrap()));
                }
            }
        }
    }
    found
}

#[test]
fn every_function_of_storage_has_a_case() {
    let cases: BTreeSet<&str> = CASES.iter().map(|case| case.name.split(' ').next().unwrap()).collect();
    let existing = functions(Path::new("src/storage"), "");
    assert!(existing.len() > 50, "{existing:?}");
    let stands_for = |name: &str, function: &str| match name.strip_suffix("::") {
        Some(_) => function.starts_with(name),
        None => function == name,
    };
    let is_known = |function: &String| {
        cases.contains(function.as_str()) || WITHOUT_PLAN.iter().any(|(name, _)| stands_for(name, function))
    };
    let missing: Vec<_> = existing.iter().filter(|function| !is_known(function)).collect();
    assert!(missing.is_empty(), "add a line to tests/it/plans/cases.rs for each of {missing:#?}");
    let named = cases.into_iter().chain(WITHOUT_PLAN.iter().map(|(name, _)| *name));
    let gone: Vec<_> =
        named.filter(|name| !existing.iter().any(|function| stands_for(name, function))).collect();
    assert!(gone.is_empty(), "these names no longer exist: {gone:?}");
}

#[actix_rt::test]
async fn the_events_of_a_user_are_read_from_one_table_per_day() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    sql.batch_execute(
        "SELECT ensure_ingest_days(current_date - 12, 13); \
         INSERT INTO ingested_events (occurred_at, received_at, user_id, id, type, properties) \
         SELECT now() - make_interval(days => n % 12), now(), 'user-' || n % 100, n::text, 't', '{}' \
         FROM generate_series(1, 20000) n",
    )
    .await
    .unwrap();
    let now = aval::clock::Clock::system().now();
    let filter = EventListFilter {
        user_id: "user-7".to_owned(),
        event_type: None,
        from: now - chrono::TimeDelta::days(3),
        until: now,
    };
    let mut explained = Explained::connect(&database).await;
    for _ in 0..CALLS {
        explained.sql.batch_execute(planner::BEGIN_PRUNED).await.unwrap();
        let plans = explained
            .plans_of(async |sql| {
                list_page(sql, &filter, None, 1000).await.unwrap();
                execute(sql, "ROLLBACK").await.unwrap();
            })
            .await;
        let tables: BTreeSet<String> = plans.iter().flat_map(Plan::tables).collect();
        let shards: BTreeSet<&str> = tables.iter().filter_map(|name| name.get(name.len() - 2..)).collect();
        assert_eq!((tables.len(), shards.len()), (4, 1), "{tables:?}");
    }
}

#[actix_rt::test]
async fn a_plan_that_reads_a_whole_table_is_detected() {
    let database = TestDatabase::create().await;
    World::fill(&database, MANY).await;
    execute(&mut database.connect().await, "VACUUM ANALYZE").await.unwrap();
    let mut explained = Explained::connect(&database).await;
    let mut plans = async |query: &'static str| {
        explained
            .plans_of(async |sql| {
                execute(sql, query).await.unwrap();
            })
            .await
    };
    let case = Case {
        name: "",
        months: 1,
        indexes: &["applications_status_idx"],
        call: |_, _| Box::pin(async { Ok(()) }),
    };
    let seen = plans("SELECT count(*) FROM applications WHERE monthly_income = 7").await;
    let noticed = violations(&case, &seen).join("\n");
    for part in ["reads all of applications", "_2", "does not use applications_status_idx"] {
        assert!(noticed.contains(part), "{part}: {noticed}");
    }
    assert!(!violations(&case, &[]).is_empty(), "a missing plan must be a violation");
    let nested =
        plans("SELECT applied_elsewhere(id, '', '\\x00', '1 year') FROM applications ORDER BY id LIMIT 1")
            .await;
    assert!(nested.len() >= 2, "plans inside functions must be included");
}

#[actix_rt::test]
async fn the_cost_of_a_total_is_independent_of_the_number_of_applications_and_of_matches() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    let mut costs = Vec::new();
    for more in [3_000, 20_000] {
        fill::applications(&mut sql, &key_ring(&settings(&[])), more).await;
        execute(&mut sql, "VACUUM ANALYZE").await.unwrap();
        let mut explained = Explained::connect(&database).await;
        let bounds = TotalBounds { examined: 100, uncounted: 100 };
        let nothing = ListFilter { risk_band: Some(RiskBand::Critical), ..ListFilter::default() };
        let everything =
            ListFilter { min_amount: aval::domain::money::Money::parse("1").ok(), ..ListFilter::default() };
        let pending = ListFilter { status: "PENDING".parse().ok(), ..nothing.clone() };
        let mut rows_examined_per_call = Vec::new();
        for filter in [ListFilter::default(), nothing, everything, pending] {
            for visibility in [Visibility::All, Visibility::OwnedBy("account 1".to_owned())] {
                for _ in 0..CALLS {
                    let plans = explained
                        .plans_of(async |sql| {
                            total(sql, &filter, &visibility, bounds).await.unwrap();
                        })
                        .await;
                    rows_examined_per_call.push(plans.iter().map(Plan::rows_examined).max().unwrap());
                }
            }
        }
        costs.push(rows_examined_per_call);
    }
    for rows_read in costs.iter().flatten() {
        assert!(*rows_read <= 130, "{costs:?}");
    }
}
