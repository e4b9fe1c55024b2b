//! The structure: which module may import which, and a schema file that matches the database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::db::{TestDatabase, text};

/// The modules of this crate that each module may import, besides [`SHARED`].
const IMPORTS: [(&str, &[&str]); 18] = [
    ("domain", &["error"]),
    ("json", &["domain"]),
    ("resilience", &[]),
    ("supervision", &["domain"]),
    ("redis", &[]),
    ("embedded", &[]),
    ("storage", &["json", "domain", "resilience"]),
    ("countries", &["json", "domain"]),
    ("providers", &["domain"]),
    ("events", &["redis", "storage", "domain"]),
    ("cache", &["events", "redis", "storage", "domain"]),
    ("queue", &["supervision", "storage", "domain"]),
    (
        "actors",
        &[
            "cache",
            "events",
            "queue",
            "supervision",
            "resilience",
            "countries",
            "providers",
            "storage",
            "domain",
        ],
    ),
    (
        "lending",
        &[
            "actors",
            "cache",
            "events",
            "queue",
            "supervision",
            "resilience",
            "countries",
            "providers",
            "storage",
            "domain",
        ],
    ),
    ("accounts", &["events", "storage", "domain"]),
    (
        "http",
        &[
            "lending",
            "accounts",
            "actors",
            "events",
            "cache",
            "queue",
            "supervision",
            "resilience",
            "redis",
            "countries",
            "providers",
            "storage",
            "json",
            "domain",
        ],
    ),
    ("cli", &["app", "accounts", "startup", "shutdown", "countries", "providers", "domain", "http"]),
    ("resources", &["supervision", "storage"]),
];

/// The modules that every module except `domain` may import.
const SHARED: [&str; 5] = ["config", "error", "clock", "telemetry", "resources"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules that a file names by `crate::module`, without its tests.
fn imports(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let named = lines.flat_map(|line| line.split("crate::").skip(1).map(str::to_owned).collect::<Vec<_>>());
    named
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect())
        .filter(|module: &String| !module.is_empty())
        .collect()
}

#[test]
fn every_import_is_allowed() {
    let allowed_imports: BTreeMap<_, _> = IMPORTS.into_iter().collect();
    let mut wrong = Vec::new();
    for path in sources(Path::new("src")) {
        let inside = path.strip_prefix("src").unwrap().to_str().unwrap().to_owned();
        let module = inside.split('/').next().unwrap().trim_end_matches(".rs");
        let Some(allowed) = allowed_imports.get(module) else { continue };
        if path.ends_with("tests.rs") || inside.contains("/tests/") {
            continue;
        }
        for import in imports(&path) {
            let general = module != "domain" && SHARED.contains(&import.as_str());
            if import != module && !general && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{inside} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The items of `storage` that `http` may name: keys that sign cursors and seal answers, a keyed write, the state of the
/// replica in the health report, and the handle that WebSocket sessions pass to a use case.
const STORAGE_IN_HTTP: [&str; 4] = ["seal::", "idempotency::{Keyed,", "replica::ReplicaState", "Database;"];

/// What opens a connection or a transaction.
const DATABASE_WORK: [&str; 7] = [
    "diesel",
    "transaction::",
    "database.get(",
    "database.run(",
    "database.read(",
    "database.dedicated(",
    "storage::{",
];

#[test]
fn http_opens_no_connection_and_decides_on_no_rows() {
    let mut wrong = Vec::new();
    for path in sources(Path::new("src/http")) {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let mut items = line.split("storage::").skip(1);
            let names_rows =
                items.any(|item| !STORAGE_IN_HTTP.iter().any(|allowed| item.starts_with(allowed)));
            if names_rows || DATABASE_WORK.iter().any(|work| line.contains(work)) {
                wrong.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn events_and_the_relay_know_nothing_of_credit() {
    let engine =
        sources(Path::new("src/events")).into_iter().chain([PathBuf::from("src/actors/outbox_relay.rs")]);
    let nouns = [
        "domain::application",
        "domain::status",
        "domain::decision",
        "domain::banking",
        "domain::event",
        "ApplicationChanged",
        "crate::lending",
        "crate::countries",
        "crate::providers",
    ];
    for path in engine {
        let text = fs::read_to_string(&path).unwrap();
        for noun in nouns {
            assert!(!text.contains(noun), "{} names {noun}", path.display());
        }
    }
}

/// A file of a folder and the files of the same folder that it names by `super::`.
fn siblings(folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let files = sources(folder).into_iter().filter(|path| path.parent() == Some(folder));
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let names: BTreeSet<String> = files.clone().map(|path| name(&path)).collect();
    let used = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        names.iter().filter(|other| text.contains(&format!("super::{other}::"))).cloned().collect()
    };
    files.map(|path| (name(&path), used(&path))).collect()
}

#[test]
fn no_two_files_of_the_broadcaster_import_each_other() {
    for folder in ["src/actors/broadcaster", "src/actors/broadcaster/sessions", "src/events"] {
        let uses = siblings(Path::new(folder));
        for (one, others) in &uses {
            for other in others {
                assert!(!uses[other].contains(one), "{folder}: {one} and {other}");
            }
        }
    }
}

#[test]
fn every_module_is_listed() {
    let judged: BTreeSet<&str> = IMPORTS.iter().map(|(module, _)| *module).collect();
    let free = ["app", "startup", "shutdown", "lib", "main", "config", "error", "clock", "telemetry"];
    for entry in fs::read_dir("src").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(judged.contains(module) || free.contains(&module), "{module} is missing in IMPORTS");
    }
}

#[test]
fn the_clock_and_dice_are_read_in_one_file() {
    let offenders: Vec<_> = sources(Path::new("src"))
        .into_iter()
        // The private PostgreSQL's deadlines are the runtime's own timers.
        .filter(|path| {
            !path.ends_with("clock.rs") && !path.ends_with("tests.rs") && !path.ends_with("embedded/mod.rs")
        })
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            ["Utc::now", "SystemTime::now", "Instant::now", "rand::", "Uuid::new_v4", "Uuid::now_v7"]
                .iter()
                .any(|reading| code.contains(reading))
        })
        .collect();
    assert!(offenders.is_empty(), "{offenders:?}");
}

/// `table (column -> Type, …)` as the generated file has it.
fn schema_file() -> BTreeMap<String, Vec<(String, String)>> {
    let text = fs::read_to_string("src/storage/schema.rs").unwrap();
    let mut tables = BTreeMap::new();
    let mut table = String::new();
    let mut renamed = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("diesel::joinable!")) {
        if let Some(name) = line.strip_suffix(" {").and_then(|head| head.split(" (").next())
            && line.contains(" (")
        {
            table = name.to_owned();
        } else if let Some(name) = line.strip_prefix("#[sql_name = \"") {
            renamed = Some(name.trim_end_matches("\"]").to_owned());
        } else if let Some((column, kind)) = line.trim_end_matches(',').split_once(" -> ") {
            let column = renamed.take().unwrap_or_else(|| column.to_owned());
            let columns: &mut Vec<_> = tables.entry(table.clone()).or_default();
            columns.push((column, kind.to_owned()));
        }
    }
    tables
}

fn diesel_type(udt: &str, nullable: bool) -> String {
    let name = match udt {
        "int2" => "Int2",
        "int4" => "Int4",
        "int8" => "Int8",
        "bool" => "Bool",
        "text" => "Text",
        "uuid" => "Uuid",
        "bytea" => "Bytea",
        "jsonb" => "Jsonb",
        "numeric" => "Numeric",
        "timestamptz" => "Timestamptz",
        "date" => "Date",
        "_text" => "Array<Nullable<Text>>",
        "account_role" => "AccountRole",
        "application_status" => "ApplicationStatus",
        "audit_action" => "AuditAction",
        "country" => "Country",
        "failed_job_status" => "FailedJobStatus",
        "job_result" => "JobResult",
        "job_status" => "JobStatus",
        "webhook_status" => "WebhookStatus",
        other => panic!("a type that the schema file has no name for: {other}"),
    };
    if nullable { format!("Nullable<{name}>") } else { name.to_owned() }
}

#[actix_rt::test]
async fn the_generated_schema_matches_the_migrated_database() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    let listing = text(
        &mut sql,
        "SELECT string_agg(concat_ws(' ', table_name, column_name, udt_name, is_nullable), E'\\n' \
             ORDER BY table_name, ordinal_position) \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_diesel%'",
    )
    .await
    .unwrap();
    let mut actual: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for line in listing.lines() {
        let [table, column, udt, nullable] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let column = (column.to_owned(), diesel_type(udt, nullable == "YES"));
        actual.entry(table.to_owned()).or_default().push(column);
    }
    assert_eq!(schema_file(), actual);
}

#[actix_rt::test]
async fn every_table_says_what_it_is_for() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    let silent = text(
        &mut sql,
        "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'public'::regnamespace \
         AND relkind IN ('r', 'p') AND relname NOT LIKE '\\_\\_diesel%' AND obj_description(oid, 'pg_class') IS NULL",
    )
    .await;
    assert_eq!(silent, None);
}
