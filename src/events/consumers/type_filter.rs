//! Filters of events by type.

/// The prefix match of a family ends with this, as in `application.*`.
const ANY_OF_FAMILY: &str = ".*";

/// A set of event types. Consumers, the feed and the command line use the same form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeFilter {
    /// Type names, and families as prefixes that end with a dot. Empty for all types.
    patterns: Vec<String>,
}

impl TypeFilter {
    /// All types, including those of later versions.
    pub fn all() -> Self {
        Self::default()
    }

    /// The types with these names (`application.created.v1`) or of these families (`application.*`). An empty list
    /// contains all types.
    pub fn of<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Self {
        let prefix = |pattern: P| match pattern.as_ref().strip_suffix(ANY_OF_FAMILY) {
            Some(family) => format!("{family}."),
            None => pattern.as_ref().to_owned(),
        };
        Self { patterns: patterns.into_iter().map(prefix).collect() }
    }

    /// Whether the set contains a type.
    pub fn contains(&self, event_type: &str) -> bool {
        let matches = |pattern: &String| match pattern.ends_with('.') {
            true => event_type.starts_with(pattern.as_str()),
            false => event_type == pattern,
        };
        self.patterns.is_empty() || self.patterns.iter().any(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_contains_the_named_types_and_those_of_the_named_families() {
        let filter = TypeFilter::of(["toy.*", "tool.made.v1"]);
        for (event_type, contained) in [
            ("toy.made.v1", true),
            ("toy.broken.v2", true),
            ("tool.made.v1", true),
            ("tool.made.v10", false),
            ("tool.broken.v1", false),
            ("toys.made.v1", false),
        ] {
            assert_eq!(filter.contains(event_type), contained, "{event_type}");
        }
        assert!(TypeFilter::all().contains("anything.at_all.v1"));
    }
}
