//! The rules and dashboards in `k8s/monitoring`, and the runbooks: promtool accepts the rules and dashboards, all of them
//! name existing metrics, and every alert has a runbook.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use aval::telemetry::metrics::Metrics;
use serde_json::{Value, json};

use crate::support::promtool::promtool;

const RULES: &str = "k8s/monitoring/rules";
const TESTS: &str = "k8s/monitoring/tests";
const DASHBOARDS: &str = "k8s/monitoring/grafana/dashboards";
const RUNBOOKS: &str = "docs/runbooks";

/// Metrics of Prometheus itself and of the process.
const FOREIGN: [&str; 6] = [
    "up",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
];

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    assert!(!found.is_empty(), "{folder} has no {extension} files");
    found
}

/// The values of a key in YAML: the rest of its line, or the more indented lines of a block.
fn values(yaml: &str, key: &str) -> Vec<String> {
    let lines: Vec<&str> = yaml.lines().collect();
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let entry = line.trim_start().trim_start_matches("- ");
        let Some(rest) = entry.strip_prefix(key).and_then(|rest| rest.strip_prefix(": ")) else { continue };
        if !matches!(rest, "|-" | ">-") {
            found.push(rest.trim_matches(['\'', '"']).to_owned());
            continue;
        }
        let block = lines[place + 1..].iter().take_while(|next| indentation(next) > indentation(line));
        found.push(block.map(|line| line.trim()).collect::<Vec<_>>().join(" "));
    }
    found
}

/// The expressions of a dashboard, with Grafana's variables replaced.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(expression)) = members.get("expr") {
                found.push(expression.replace("$__rate_interval", "5m"));
            }
            members.values().for_each(|member| expressions(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

fn dashboards() -> Vec<(PathBuf, Value)> {
    let read = |path: PathBuf| {
        let dashboard = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        (path, dashboard)
    };
    files(DASHBOARDS, "json").into_iter().map(read).collect()
}

fn rules() -> String {
    files(RULES, "yml").iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// All expressions with the name of their file.
fn all_expressions() -> Vec<(String, String)> {
    let mut all: Vec<_> =
        values(&rules(), "expr").into_iter().map(|expression| ("rules".to_owned(), expression)).collect();
    for (path, dashboard) in dashboards() {
        let mut found = Vec::new();
        expressions(&dashboard, &mut found);
        assert!(found.len() > 8, "{}", path.display());
        all.extend(found.into_iter().map(|expression| (path.display().to_string(), expression)));
    }
    all
}

/// Removes everything between `open` and `close`.
fn without(text: &str, open: char, close: char) -> String {
    let mut inside = false;
    let mut rest = String::new();
    for c in text.chars() {
        match (inside, c) {
            (false, c) if c == open => inside = true,
            (true, c) if c == close => inside = false,
            (false, c) => rest.push(c),
            (true, _) => {}
        }
    }
    rest
}

/// The names of metrics in an expression.
fn metric_names(expression: &str) -> BTreeSet<String> {
    const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    const WORDS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];
    let text = without(&without(&without(expression, '"', '"'), '{', '}'), '[', ']');
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let is_aggregation = |next: &str| ["by ", "without "].iter().any(|list| next.starts_with(list));
    let is_other = |word: &str| WORDS.contains(&word) || word.starts_with(|c: char| c.is_ascii_digit());
    let mut names = BTreeSet::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|c: char| is_name(c)) {
        let from = &rest[start..];
        let end = from.find(|c: char| !is_name(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let next = after.trim_start();
        rest = after;
        if LISTS.contains(&word) {
            rest = next.split_once(')').map_or("", |(_, rest)| rest);
        } else if !next.starts_with('(') && !is_aggregation(next) && !is_other(word) {
            names.insert(word.to_owned());
        }
    }
    names
}

/// The names of all existing metrics: the metrics that Aval exports and the metrics that recording rules create.
fn known_names() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = FOREIGN.map(str::to_owned).into();
    for declared in Metrics::DECLARATIONS {
        let suffixes: &[&str] =
            if declared.metric_type == "histogram" { &["_bucket", "_count", "_sum"] } else { &[""] };
        names.extend(suffixes.iter().map(|suffix| format!("{}{suffix}", declared.name)));
    }
    names.extend(values(&rules(), "record"));
    names
}

#[test]
fn names_of_metrics_are_found_in_expressions() {
    let expression = r#"histogram_quantile(0.95, sum by (le, a) (rate(x_bucket{job="aval", b=~"c"}[5m])))
        unless on (role) max by (role) (y) == 1 or absent(aval:z:rate5m{k="v"})"#;
    let found: Vec<_> = metric_names(expression).into_iter().collect();
    assert_eq!(found, ["aval:z:rate5m", "x_bucket", "y"]);
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    promtool(&["check", "rules"], &files(RULES, "yml"));
    promtool(&["test", "rules"], &files(TESTS, "yml"));
}

#[test]
fn every_alert_has_a_test_that_fires_and_one_that_does_not() {
    let tests: String = files(TESTS, "yml").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for alert in values(&rules(), "alert") {
        for outcome in ["fires", "does not fire"] {
            assert!(tests.contains(&format!("- name: {alert} {outcome}\n")), "{alert} {outcome}");
        }
    }
}

#[test]
fn promtool_accepts_every_expression_of_the_dashboards() {
    let check = |(index, (_, expression)): (usize, (String, String))| json!({"record": format!("check:{index}"), "expr": expression});
    let rules: Vec<Value> = all_expressions().into_iter().enumerate().map(check).collect();
    // Every JSON document is also a YAML document.
    let document = json!({"groups": [{"name": "expressions", "rules": rules}]});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("expressions.yml");
    fs::write(&path, document.to_string()).unwrap();
    promtool(&["check", "rules"], &[path]);
}

#[test]
fn every_expression_names_existing_metrics() {
    let known = known_names();
    let mut wrong = Vec::new();
    for (file, expression) in all_expressions() {
        let names = metric_names(&expression);
        assert!(!names.is_empty(), "{file}: {expression}");
        wrong.extend(names.difference(&known).map(|name| format!("{file}: {name} in {expression}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_dashboard_has_the_panels_of_the_specification() {
    let (_, dashboard) = dashboards().into_iter().find(|(path, _)| path.ends_with("aval.json")).unwrap();
    let titles: Vec<&str> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|panel| panel["title"].as_str().unwrap())
        .collect();
    assert_eq!(
        titles,
        [
            "Applications created",
            "Applications by country",
            "Request rate",
            "Response time, 95th percentile",
            "Jobs: success",
            "Applications by status",
            "Risk scores of decisions",
            "Database statements, 99th percentile",
            "Circuit breakers",
        ]
    );
}

#[test]
fn every_alert_links_to_its_runbook_and_every_runbook_belongs_to_an_alert() {
    let rules = rules();
    let alerts = values(&rules, "alert");
    let links: Vec<String> = alerts.iter().map(|alert| format!("{RUNBOOKS}/{alert}.md")).collect();
    assert_eq!(values(&rules, "runbook_url"), links);
    let index = fs::read_to_string(Path::new(RUNBOOKS).join("README.md")).unwrap();
    for alert in &alerts {
        let page = fs::read_to_string(format!("{RUNBOOKS}/{alert}.md")).unwrap();
        for heading in ["Meaning", "Impact", "Diagnosis", "Remedy"] {
            let section = page.split(&format!("\n## {heading}\n")).nth(1);
            let text = section.and_then(|section| section.split("\n## ").next()).unwrap_or_default();
            assert!(text.trim().len() > 30, "{alert}: {heading}");
        }
        assert!(index.contains(&format!("({alert}.md)")), "{alert} is missing in the index");
    }
    assert_eq!(files(RUNBOOKS, "md").len(), alerts.len() + 1, "a page without an alert");
}

/// Checks the log messages and the metrics that the runbooks tell operators to look for.
#[test]
fn runbooks_name_existing_metrics_and_log_messages() {
    let mut sources = String::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let known = known_names();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for path in files(RUNBOOKS, "md") {
        let text = fs::read_to_string(&path).unwrap().replace("\n  ", " ");
        for item in text.split("\n- ").filter(|item| item.starts_with("Log line")) {
            let messages = item.lines().next().unwrap().split('`').skip(1).step_by(2);
            for message in messages.filter(|message| message.contains(' ')) {
                checked += 1;
                if !sources.contains(&format!("\"{message}")) {
                    wrong.push(format!("{}: {message}", path.display()));
                }
            }
        }
        let quoted = text.split('`').skip(1).step_by(2);
        for expression in quoted.filter(|text| text.contains("_total") || text.contains("_seconds")) {
            let names = metric_names(expression).into_iter().filter(|name| name.contains('_'));
            wrong.extend(
                names.filter(|name| !known.contains(name)).map(|name| format!("{}: {name}", path.display())),
            );
        }
    }
    assert!(checked > 10, "{checked}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
