//! Unused documents. An account may have one open application per document (docs/specification.md, section 9), but
//! several applications of a run, and several runs on one day, need the same response from the simulator.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::cases::DemoCase;
use crate::countries::Countries;
use crate::domain::application::Country;
use crate::domain::personal_data::IdentityDocument;
use crate::error::{Error, Result};
use crate::providers::simulator::families;
use crate::providers::simulator::scenario::Scenario;
use crate::providers::simulator::test_documents::{TestDocument, test_documents};

/// Possible check characters.
const CHARACTERS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Generates documents and returns each once.
pub(super) struct Documents {
    countries: Countries,
    now: DateTime<Utc>,
    /// The first serial number. It is derived from the current second, so a later run starts with a higher number.
    first: u32,
    used: HashMap<(Country, Scenario), u32>,
}

impl Documents {
    /// The documents of a run that starts at `now`.
    pub(super) fn new(now: DateTime<Utc>) -> Result<Self> {
        let first = u32::try_from(now.timestamp().rem_euclid(i64::from(families::MEMBERS))).unwrap_or(0);
        Ok(Self { countries: Countries::built_in()?, now, first, used: HashMap::new() })
    }

    /// A document with the same simulated response as the document of the case.
    ///
    /// # Errors
    /// [`Error::Internal`] if the case's document is not a test document, or if no valid document exists; both are
    /// bugs.
    pub(super) fn fresh(&mut self, case: &DemoCase) -> Result<IdentityDocument> {
        let own = |row: &TestDocument| row.country == case.country && row.document == case.document;
        let row = test_documents().find(own).ok_or_else(|| Error::internal("no test document"))?;
        let used = self.used.entry((row.country, row.scenario)).or_default();
        *used += 1;
        let member = families::member(row.country, row.scenario, self.first.wrapping_add(*used));
        let rules = self.countries.rules(row.country);
        let valid = |document: &String| rules.check_document(document, self.now).reasons.is_empty();
        let found = candidates(member).into_iter().find(valid);
        let document = found.ok_or_else(|| Error::internal("no valid test document"))?;
        Ok(IdentityDocument::from_normalized(document))
    }
}

/// All documents that result from filling in the check characters.
fn candidates(member: String) -> Vec<String> {
    let mut filled = vec![member];
    while filled.first().is_some_and(|document| document.contains('?')) {
        let fill = |document: String| {
            CHARACTERS.chars().map(move |check| document.replacen('?', check.encode_utf8(&mut [0; 4]), 1))
        };
        filled = filled.into_iter().flat_map(fill).collect();
    }
    filled
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::cases::{outages, plan};
    use super::*;
    use crate::providers::simulator::test_documents::outcome_of;

    #[test]
    fn each_document_is_valid_and_unused_and_selects_the_same_answer() {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let mut documents = Documents::new(now).unwrap();
        let mut seen = HashSet::new();
        for case in plan(180).iter().chain(&outages()) {
            let document = documents.fresh(case).unwrap().reveal().to_owned();
            let verdict = documents.countries.rules(case.country).check_document(&document, now);
            assert_eq!(verdict.normalized.as_deref(), Some(document.as_str()));
            assert_eq!(outcome_of(case.country, &document), outcome_of(case.country, case.document));
            assert!(seen.insert((case.country, document)));
        }
        let mut next = Documents::new(now + chrono::TimeDelta::seconds(40)).unwrap();
        for case in plan(60) {
            assert!(
                !seen.contains(&(case.country, next.fresh(&case).unwrap().reveal().to_owned())),
                "a later run"
            );
        }
    }
}
