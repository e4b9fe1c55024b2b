//! The values of metric labels.
//!
//! A counter that does not exist before its first increment hides that increment from `rate()` and `increase()`, which
//! need two samples. Therefore a metric names the source of its label values ([`KnownLabels`]) and is exported with 0 for
//! each of them from the start. The values come from the modules that use them; the composition root collects them.

/// Rows of label values. A row has one value, or one for each of several labels whose values belong together, such as the
/// country and its bureau.
#[derive(Debug, Clone, Default)]
pub struct Values(Vec<Vec<&'static str>>);

impl Values {
    /// The rows.
    pub fn rows(&self) -> &[Vec<&'static str>] {
        &self.0
    }

    /// Every combination of one row from each of `groups`. The values are in the order of the groups.
    pub fn combine(groups: &[&Self]) -> Vec<Vec<&'static str>> {
        groups.iter().fold(vec![Vec::new()], |combined, group| {
            let extended = |head: &Vec<&'static str>| {
                let head = head.clone();
                group.0.iter().map(move |tail| [head.as_slice(), tail.as_slice()].concat())
            };
            combined.iter().flat_map(extended).collect()
        })
    }
}

impl FromIterator<&'static str> for Values {
    fn from_iter<I: IntoIterator<Item = &'static str>>(values: I) -> Self {
        Self(values.into_iter().map(|value| vec![value]).collect())
    }
}

impl FromIterator<[&'static str; 2]> for Values {
    fn from_iter<I: IntoIterator<Item = [&'static str; 2]>>(values: I) -> Self {
        Self(values.into_iter().map(Vec::from).collect())
    }
}

/// The label values that are known when a process starts.
#[derive(Debug, Clone, Default)]
pub struct KnownLabels {
    /// Supervised actors and asynchronous tasks.
    pub actors: Values,
    /// Results of attempts at deliveries to webhook endpoints.
    pub attempt_results: Values,
    /// Country and label of each bureau.
    pub bureaus: Values,
    /// Sources of the events that an instance reads.
    pub bus_sources: Values,
    /// Operations of the cache.
    pub cache_operations: Values,
    /// Kinds of cache entries.
    pub cache_patterns: Values,
    /// Results of calls to bureaus.
    pub call_statuses: Values,
    /// States of circuit breakers.
    pub circuit_states: Values,
    pub countries: Values,
    /// Results of deliveries to webhook endpoints.
    pub delivery_results: Values,
    /// Results of ingested events.
    pub event_results: Values,
    /// States of disbursements.
    pub disbursement_states: Values,
    /// Steps of disbursements.
    pub disbursement_steps: Values,
    /// Results of job attempts.
    pub job_statuses: Values,
    /// Types of the messages to WebSocket clients.
    pub message_types: Values,
    /// Channels of notifications.
    pub push_channels: Values,
    /// Operations of payment rails.
    pub rail_operations: Values,
    /// Results of calls to payment rails.
    pub rail_statuses: Values,
    /// Payment rails.
    pub rails: Values,
    pub redis_operations: Values,
    pub redis_results: Values,
    /// Reasons for refusing connections.
    pub refusals: Values,
    /// Route patterns, and the label of requests that match none.
    pub routes: Values,
    /// Outcomes of scheduled tasks.
    pub run_outcomes: Values,
    pub scheduled_tasks: Values,
    /// Results of exporting spans.
    pub span_results: Values,
    /// Tables with labels that a newer version may write.
    pub tables: Values,
    /// Tasks of jobs.
    pub tasks: Values,
    /// Results of webhooks.
    pub webhook_results: Values,
    /// Labels of bureaus that send webhooks, and the label of unknown senders.
    pub webhook_senders: Values,
}

/// Declares the values of a label as an enum.
macro_rules! label_values {
    ($(#[$doc:meta])* $visibility:vis enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $visibility enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All values.
            pub const VALUES: &'static [&'static str] = &[$($text),+];

            /// The value in metrics.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}
pub(crate) use label_values;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_the_values_of_each_group_in_order() {
        let bureaus = Values::from_iter([["ES", "asnef_cirbe"], ["IT", "crif"]]);
        let statuses = Values::from_iter(["success", "timeout"]);
        assert_eq!(
            Values::combine(&[&bureaus, &statuses]),
            [
                ["ES", "asnef_cirbe", "success"],
                ["ES", "asnef_cirbe", "timeout"],
                ["IT", "crif", "success"],
                ["IT", "crif", "timeout"],
            ]
        );
        assert!(Values::combine(&[&bureaus, &Values::default()]).is_empty());
    }
}
