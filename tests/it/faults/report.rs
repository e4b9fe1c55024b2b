//! The result of a run, for people and for the table of docs/reliability.md.

use std::fmt;
use std::fs::File;
use std::io::Write as _;

use super::workload::History;

/// One run of a fault.
pub(crate) struct Run<'a> {
    pub(crate) name: &'a str,
    pub(crate) seed: u64,
    pub(crate) history: &'a History,
    pub(crate) violations: &'a [String],
}

impl Run<'_> {
    /// Appends a line to the file named by `AVAL_FAULT_REPORT`, if it is set: name, applications accepted, requests
    /// that failed, events delivered, violations, separated by tabs.
    pub(crate) fn append(&self) {
        let delivered: usize =
            self.history.subscriptions.iter().map(|subscription| subscription.deliveries.len()).sum();
        let line = format!(
            "{}\t{}\t{}\t{delivered}\t{}\n",
            self.name,
            self.history.accepted().len(),
            self.history.failures.values().sum::<u32>(),
            self.violations.len(),
        );
        append_line("AVAL_FAULT_REPORT", &line);
    }
}

/// One run of a fault of consumers.
pub(crate) struct ConsumerRun<'a> {
    pub(crate) name: &'a str,
    pub(crate) seed: u64,
    pub(crate) events: usize,
    pub(crate) effects: usize,
    pub(crate) dead_letters: usize,
    pub(crate) violations: &'a [String],
}

impl ConsumerRun<'_> {
    /// Appends a line to the file named by `AVAL_CONSUMER_FAULT_REPORT`, if it is set: name, events, effects, dead letters,
    /// violations, separated by tabs.
    pub(crate) fn append(&self) {
        let Self { name, events, effects, dead_letters, violations, .. } = self;
        let line = format!("{name}\t{events}\t{effects}\t{dead_letters}\t{}\n", violations.len());
        append_line("AVAL_CONSUMER_FAULT_REPORT", &line);
    }
}

impl fmt::Display for ConsumerRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (AVAL_FAULT_SEED={}): {} violations", self.name, self.seed, self.violations.len())?;
        for violation in self.violations.iter().take(40) {
            writeln!(f, "  {violation}")?;
        }
        writeln!(f, "{} events, {} effects, {} dead letters", self.events, self.effects, self.dead_letters)
    }
}

/// Appends a line to the file that a variable names, if it is set.
fn append_line(variable: &str, line: &str) {
    let Some(path) = std::env::var_os(variable) else { return };
    // A single short write, because runs in other processes append to the same file.
    File::options().create(true).append(true).open(path).unwrap().write_all(line.as_bytes()).unwrap();
}

impl fmt::Display for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (AVAL_FAULT_SEED={}): {} violations", self.name, self.seed, self.violations.len())?;
        for violation in self.violations.iter().take(40) {
            writeln!(f, "  {violation}")?;
        }
        let retried = self.history.submissions.iter().filter(|sent| sent.attempts > 1).count();
        writeln!(
            f,
            "accepted {}, sent more than once {retried}; failures seen by clients: {:?}",
            self.history.accepted().len(),
            self.history.failures
        )
    }
}
