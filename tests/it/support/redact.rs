//! Redaction of snapshot values that vary from run to run.

use insta::Settings;
use insta::internals::{Content, ContentPath};

/// Snapshot settings that replace identifiers, hashes and timestamps with placeholders.
pub(crate) fn redacted() -> Settings {
    let mut settings = Settings::clone_current();
    settings.set_sort_maps(true);
    for (selector, name) in [
        (".**.id", "[uuid]"),
        (".**.application_id", "[uuid]"),
        (".**.request_id", "[request id]"),
        (".**.trace_id", "[trace id]"),
        (".**.rules_version", "[hash]"),
        (".**.created_at", "[time]"),
        (".**.updated_at", "[time]"),
        (".**.decided_at", "[time]"),
    ] {
        let keep_null = move |value: Content, _: ContentPath<'_>| match value {
            Content::None | Content::Unit => value,
            _ => Content::from(name),
        };
        settings.add_dynamic_redaction(selector, keep_null);
    }
    settings
}
