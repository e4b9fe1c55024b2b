//! Checks the guides in `docs/how-to/`: every file and function that they name exists. Also checks that no step of a guide
//! was forgotten in the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use aval::app::event_types;
use aval::domain::application::Country;
use aval::events::registry::Audience;
use serde_json::Value;

use crate::support::engine::TestEngine;

/// Parts of the names of files that exist only in the examples of the guides.
const EXAMPLES: [&str; 4] = ["age.rs", "peru", "sentinel", "/pe.toml"];

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

/// The text of a source file without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()
}

/// The texts between backquotes, outside code blocks.
fn quoted(markdown: &str) -> Vec<&str> {
    let outside = markdown.split("```").step_by(2);
    outside.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_file_and_function_that_a_guide_names_exists() {
    let mut sources = String::new();
    for (folder, extension) in [("src", "rs"), ("tests", "rs"), ("migrations", "sql")] {
        for path in files(Path::new(folder), extension).iter().filter(|path| !path.ends_with("how_to.rs")) {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    let is_path = |text: &str| text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-./".contains(&c));
    let is_name = |text: &str| text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_:".contains(&c));
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for guide in files(Path::new("docs/how-to"), "md") {
        let text = fs::read_to_string(&guide).unwrap();
        for named in quoted(&text) {
            let roots = ["src/", "tests/", "docs/", "migrations/", "config/", "scripts/"];
            let exists = if is_path(named) && roots.iter().any(|root| named.starts_with(root)) {
                EXAMPLES.iter().any(|example| named.contains(example)) || Path::new(named).exists()
            } else if let Some((_, item)) = named.rsplit_once("::").filter(|_| is_name(named)) {
                let is_type = item.starts_with(|first: char| first.is_ascii_uppercase());
                is_type || ["fn ", "mod "].iter().any(|kind| sources.contains(&format!("{kind}{item}")))
            } else if is_name(named) && named.matches('_').count() > 2 {
                sources.contains(named)
            } else {
                continue;
            };
            checked += 1;
            if !exists {
                wrong.push(format!("{}: {named}", guide.display()));
            }
        }
    }
    assert!(checked > 60, "{checked}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A test in a file without its `mod` line never runs, and the compiler does not mention the file.
#[test]
fn every_test_file_is_compiled() {
    let mut forgotten = Vec::new();
    for path in files(Path::new("tests/it"), "rs") {
        let (folder, stem) = (path.parent().unwrap(), path.file_stem().unwrap().to_str().unwrap());
        let (parent, module) = match stem {
            "main" => continue,
            "mod" => (folder.parent().unwrap(), folder.file_name().unwrap().to_str().unwrap()),
            other => (folder, other),
        };
        let owner =
            ["main.rs", "mod.rs"].map(|name| parent.join(name)).into_iter().find(|file| file.exists());
        let owner = owner.unwrap_or_else(|| parent.with_extension("rs"));
        let text = fs::read_to_string(&owner).unwrap();
        let declaration = format!("mod {module};");
        let is_named = |line: &str| line == declaration || line.ends_with(&format!(") {declaration}"));
        if !text.lines().any(is_named) {
            forgotten.push(format!("mod {module}; is missing from {}", owner.display()));
        }
    }
    assert!(forgotten.is_empty(), "{forgotten:#?}");
}

#[test]
fn every_task_is_registered() {
    let registry = code(Path::new("src/app/engine.rs"));
    let mut found = 0;
    for path in files(Path::new("src"), "rs").iter().filter(|path| !path.ends_with("tests.rs")) {
        for rest in code(path).split("\nimpl Task for ").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
            found += 1;
            assert!(
                registry.contains(&format!("Box::new({name} ")),
                "{name} is missing from the registry of src/app/engine.rs: its jobs would never be claimed"
            );
        }
    }
    assert!(found > 1, "{found}");
}

#[actix_rt::test]
async fn every_task_has_a_unique_name_and_is_in_the_specification_with_its_lanes() {
    let test = TestEngine::start(&[]).await;
    let specification = fs::read_to_string("docs/specification.md").unwrap();
    let jobs = specification.split("\n## ").find(|section| section.starts_with("5. Jobs")).unwrap();
    let mut names = BTreeSet::new();
    for task in test.engine.tasks.known() {
        assert!(names.insert(task.name), "two tasks are named {}", task.name);
        assert!(jobs.contains(&format!("`{}`", task.name)), "section 5 does not name the task {}", task.name);
    }
    for lane in test.engine.tasks.lanes() {
        let is_country = Country::ALL.iter().any(|country| country.code() == lane);
        assert!(is_country || jobs.contains(&format!("`{lane}`")), "section 5 does not name the lane {lane}");
    }
}

#[test]
fn every_declared_event_type_is_registered_once_and_its_file_is_documented() {
    let documentation = fs::read_to_string("docs/events.md").unwrap();
    let mut declared: BTreeMap<String, usize> = BTreeMap::new();
    for path in files(Path::new("src"), "rs") {
        let text = code(&path);
        if !text.contains("const TYPES: &[EventType]") {
            continue;
        }
        let file = path.to_str().unwrap();
        assert!(documentation.contains(&format!("`{file}`")), "docs/events.md does not name {file}");
        let is_type = |word: &str| {
            let parts: Vec<&str> = word.split('.').collect();
            let plain = |part: &str| part.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
            matches!(parts[..], [family, change, version]
                if plain(family) && plain(change) && version.strip_prefix('v').is_some_and(|v| v.parse::<u32>().is_ok()))
        };
        for name in text.split('"').skip(1).step_by(2).filter(|word| is_type(word)) {
            *declared.entry(name.to_owned()).or_default() += 1;
        }
    }
    let registered: BTreeMap<String, usize> =
        event_types().iter().map(|event_type| (event_type.name.to_owned(), 1)).collect();
    assert_eq!(
        declared, registered,
        "a family is missing from src/app/event_types.rs, or two types share a name"
    );
}

/// Only the data of application events contains an owner. The broadcaster cannot deliver other events to owners.
#[test]
fn only_events_of_applications_are_for_owners() {
    for event_type in event_types().iter().filter(|event_type| event_type.audience == Audience::Owner) {
        assert!(event_type.name.starts_with("application."), "{} would not be delivered", event_type.name);
    }
}

#[test]
fn every_tag_of_an_operation_is_described_and_used() {
    let document = serde_json::to_value(aval::http::openapi::document(true)).unwrap();
    let names = |tags: &Value| -> Vec<String> {
        tags.as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap().to_owned()).collect()
    };
    let described: BTreeSet<String> = names(&document["tags"]).into_iter().collect();
    let mut used = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let tags = operation["tags"].as_array().unwrap();
            used.extend(tags.iter().map(|tag| tag.as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(used, described, "tags(…) in src/http/openapi.rs");
}

#[test]
fn every_module_is_in_the_architecture_and_in_the_documentation_of_the_crate() {
    let architecture = fs::read_to_string("docs/ARCHITECTURE.md").unwrap();
    let modules = architecture.split("\n## ").find(|section| section.starts_with("Modules\n")).unwrap();
    let library = fs::read_to_string("src/lib.rs").unwrap();
    for entry in fs::read_dir("src").unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let module = file.trim_end_matches(".rs");
        let in_table = modules.contains(&format!("`{module}`")) || modules.contains(&format!("`{file}`"));
        assert!(in_table, "docs/ARCHITECTURE.md does not describe {module}");
        let in_library = ["lib", "main"].contains(&module) || library.contains(&format!("[`{module}`]"));
        assert!(in_library, "src/lib.rs does not describe {module}");
    }
}
