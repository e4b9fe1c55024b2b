//! The structure of the code: permitted imports, and a generated schema that matches the database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use aval::domain::application::Country;

use crate::support::db::{TestDatabase, text};

/// The modules of this crate that each module may import, besides [`SHARED`].
const IMPORTS: [(&str, &[&str]); 21] = [
    ("domain", &["error"]),
    ("json", &["domain"]),
    ("resilience", &[]),
    ("supervision", &[]),
    ("redis", &[]),
    ("embedded", &[]),
    ("storage", &["json", "domain", "resilience"]),
    ("countries", &["json", "domain"]),
    ("providers", &["domain"]),
    ("rails", &["resilience", "domain"]),
    ("events", &["redis", "supervision", "storage", "domain"]),
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
            "rails",
            "storage",
            "domain",
        ],
    ),
    ("accounts", &["events", "storage", "domain"]),
    ("deliveries", &["accounts", "actors", "events", "queue", "providers", "storage", "domain"]),
    ("ingest", &["actors", "storage", "json"]),
    (
        "http",
        &[
            "lending",
            "ingest",
            "deliveries",
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

/// Whether a file of `src` contains only tests.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.iter().any(|part| part == "tests")
}

/// The top-level modules of this crate that a file names outside its tests.
fn imports(path: &Path) -> BTreeSet<String> {
    let named = named_paths(path);
    let modules = named.iter().filter_map(|path| path.strip_prefix("crate::")?.split("::").next());
    modules.filter(|module| module.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect()
}

#[test]
fn every_import_is_allowed() {
    let allowed_imports: BTreeMap<_, _> = IMPORTS.into_iter().collect();
    let mut wrong = Vec::new();
    for path in sources(Path::new("src")) {
        let inside = path.strip_prefix("src").unwrap().to_str().unwrap().to_owned();
        let module = inside.split('/').next().unwrap().trim_end_matches(".rs");
        let Some(allowed) = allowed_imports.get(module) else { continue };
        if is_test(&path) {
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

/// The items of `storage` that `http` may name: keys that sign cursors and seal responses, a keyed write, the state of
/// the replica in the health report, and the handle that WebSocket sessions pass to a use case.
const STORAGE_IN_HTTP: [&str; 4] = ["seal::", "idempotency::{Keyed,", "replica::ReplicaState", "Database;"];

/// Code that opens a connection or a transaction.
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
fn http_uses_no_connections_and_no_rows() {
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

/// The engine: the code that runs tasks and delivers events of any kind.
const ENGINE: [&str; 10] = [
    "src/events",
    "src/queue",
    "src/supervision",
    "src/resilience",
    "src/actors/job",
    "src/actors/housekeeper/runs.rs",
    "src/actors/outbox_relay.rs",
    "src/actors/scheduler.rs",
    "src/actors/supervisor.rs",
    "src/actors/write_batcher",
];

/// The modules of `domain` that the engine may import.
const ENGINE_DOMAIN: [&str; 3] = ["ids", "published", "timestamp"];

#[test]
fn the_engine_does_not_depend_on_lending() {
    let files = ENGINE.iter().flat_map(|path| {
        let path = PathBuf::from(path);
        if path.is_dir() { sources(&path) } else { vec![path] }
    });
    let mut wrong = Vec::new();
    for file in files.filter(|file| !is_test(file)) {
        for path in named_paths(&file) {
            let segments: Vec<&str> = path.split("::").collect();
            let is_credit = match segments.as_slice() {
                ["crate", "domain", module, ..] => !ENGINE_DOMAIN.contains(module),
                ["crate", "lending" | "countries" | "providers", ..] => true,
                ["crate", "storage", "applications" | "decisions" | "webhooks", ..] => true,
                _ => false,
            };
            if is_credit {
                wrong.push(format!("{}: {path}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A module's path, such as `["storage", "jobs"]` for `src/storage/jobs/mod.rs`.
type ModulePath = Vec<String>;

fn module_path(file: &Path) -> ModulePath {
    let inside = file.strip_prefix("src").unwrap().with_extension("");
    let mut path: ModulePath = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    path.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
    path
}

/// The paths of a `use` tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(tree: &str, prefix: &str, paths: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        paths.push(format!("{prefix}{tree}"));
        return;
    };
    let inner = rest.rsplit_once('}').unwrap().0;
    let (mut depth, mut start) = (0_usize, 0);
    for (index, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&inner[start..index], &format!("{prefix}{head}"), paths);
                start = index + 1;
            }
            _ => {}
        }
    }
}

/// The paths from `crate`, `super` or `self` that a file names outside its tests.
fn named_paths(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut paths = Vec::new();
    for statement in code.join("\n").split(';') {
        let import = statement.split_once("use ").filter(|(before, tree)| {
            let line = before.rsplit('\n').next().unwrap().trim();
            let is_tree = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || "_:{},*".contains(c);
            (line.is_empty() || line.starts_with("pub")) && tree.chars().all(is_tree)
        });
        if let Some((_, tree)) = import {
            expand(&tree.split_whitespace().collect::<String>(), "", &mut paths);
            continue;
        }
        for root in ["crate::", "super::"] {
            for (index, _) in statement.match_indices(root) {
                let is_path = |c: &char| c.is_ascii_alphanumeric() || [':', '_'].contains(c);
                paths.push(statement[index..].chars().take_while(is_path).collect());
            }
        }
    }
    paths
}

/// The modules that each module imports from. A module may use the items of the modules that it is part of.
fn imports_of_files() -> BTreeMap<ModulePath, BTreeSet<ModulePath>> {
    let files = sources(Path::new("src"));
    let files: Vec<_> = files.iter().filter(|file| !is_test(file)).collect();
    let modules: BTreeSet<ModulePath> = files.iter().map(|file| module_path(file)).collect();
    let resolve = |own: &ModulePath, path: &str| {
        let mut target = own.clone();
        let mut segments = path.split("::").peekable();
        match segments.peek() {
            Some(&"crate") => target.clear(),
            Some(&"self" | &"super") => {}
            _ => return None,
        }
        for segment in segments {
            match segment {
                "crate" | "self" => {}
                "super" => drop(target.pop()),
                name => target.push(name.to_owned()),
            }
        }
        while !modules.contains(&target) {
            target.pop()?;
        }
        (!own.starts_with(&target)).then_some(target)
    };
    let imports = |file: &Path| {
        let own = module_path(file);
        let named = named_paths(file).iter().filter_map(|path| resolve(&own, path)).collect();
        (own, named)
    };
    files.iter().map(|file| imports(file)).collect()
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    let mut imports = imports_of_files();
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 1000, "too few imports were found");
    // Files that import nothing are in no cycle, and neither are files that import only such files.
    loop {
        let free: Vec<ModulePath> =
            imports.iter().filter(|(_, named)| named.is_empty()).map(|(own, _)| own.clone()).collect();
        if free.is_empty() {
            break;
        }
        for module in &free {
            imports.remove(module);
            for named in imports.values_mut() {
                named.remove(module);
            }
        }
    }
    // The remaining files are in a cycle or import a file of one.
    loop {
        let used: BTreeSet<ModulePath> = imports.values().flatten().cloned().collect();
        let before = imports.len();
        imports.retain(|module, _| used.contains(module));
        if imports.len() == before {
            break;
        }
    }
    let cycles: Vec<String> = imports
        .iter()
        .map(|(own, named)| {
            let named: Vec<String> = named.iter().map(|path| path.join("::")).collect();
            format!("{} imports {}", own.join("::"), named.join(", "))
        })
        .collect();
    assert!(cycles.is_empty(), "{cycles:#?}");
}

#[test]
fn every_module_is_listed() {
    let listed: BTreeSet<&str> = IMPORTS.iter().map(|(module, _)| *module).collect();
    let unrestricted = ["app", "startup", "shutdown", "lib", "main", "config", "error", "clock", "telemetry"];
    for entry in fs::read_dir("src").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(
            listed.contains(module) || unrestricted.contains(&module),
            "{module} is missing from IMPORTS"
        );
    }
}

/// The functions that a Markdown text names as `module::function`. Short names are ignored, because they may be types or SQL.
fn functions_named_in(markdown: &str) -> Vec<String> {
    let code = markdown.split('`').skip(1).step_by(2);
    let paths = code.filter_map(|code| code.rsplit_once("::"));
    let is_name = |name: &&str| {
        name.len() > 20 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    paths.map(|(_, name)| name).filter(is_name).map(str::to_owned).collect()
}

#[test]
fn every_test_that_a_document_names_exists() {
    let code: String = sources(Path::new("src"))
        .iter()
        .chain(&sources(Path::new("tests")))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    // The guides in `docs/how-to/` are checked by the test module `how_to`.
    let pages = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    let documents = pages.chain(["README.md", "SECURITY.md", "CONTRIBUTING.md"].map(PathBuf::from));
    let mut named = 0;
    let mut missing = Vec::new();
    for document in documents.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        for name in functions_named_in(&fs::read_to_string(&document).unwrap()) {
            named += 1;
            if !code.contains(&format!("fn {name}(")) {
                missing.push(format!("{}: {name}", document.display()));
            }
        }
    }
    assert!(named > 60, "{named}");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn time_and_randomness_are_read_in_one_file() {
    let offenders: Vec<_> = sources(Path::new("src"))
        .into_iter()
        // The private PostgreSQL uses the runtime's own timers for its deadlines.
        .filter(|path| !path.ends_with("clock.rs") && !is_test(path) && !path.ends_with("embedded/mod.rs"))
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

/// The columns of the generated file: `table (column -> Type, …)`.
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
        other => panic!("unknown database type: {other}"),
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
async fn the_database_has_a_label_for_every_country() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    let labels = text(&mut sql, "SELECT array_to_string(enum_range(NULL::country), ', ')").await;
    assert_eq!(
        labels.as_deref(),
        Some(Country::CODES),
        "add a migration with ALTER TYPE country ADD VALUE, in the order of the table in domain/application.rs"
    );
}

#[actix_rt::test]
async fn every_table_has_a_comment() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    let uncommented = text(
        &mut sql,
        "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'public'::regnamespace \
         AND relkind IN ('r', 'p') AND relname NOT LIKE '\\_\\_diesel%' AND obj_description(oid, 'pg_class') IS NULL",
    )
    .await;
    assert_eq!(uncommented, None);
}

/// `missing_docs` is off, because it would require a comment on every field. Modules need one.
#[test]
fn every_module_has_a_comment() {
    let undocumented: Vec<_> = sources(Path::new("src"))
        .into_iter()
        .filter(|path| !is_test(path) && !path.ends_with("storage/schema.rs"))
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!"))
        .collect();
    assert!(undocumented.is_empty(), "{undocumented:?}");
}
