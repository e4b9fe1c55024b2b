//! Log levels that operators change at run time, for a module and for a limited time.
//!
//! The filter is the outermost drain, so a line that is not logged costs one comparison. Changes are in memory: they
//! apply to this instance and end with it. Use cases that change them record who did so and why.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use slog::{Drain, Level, Logger, OwnedKVList, Record, o};

use super::log::slog_level;
use crate::clock::Clock;
use crate::config::LogLevel;

/// The name of this crate, with which module paths begin.
const CRATE: &str = "aval";

/// A change of the log level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelChange {
    /// The path of the module without the name of the crate. The modules below it are included. `None` means all modules.
    pub module: Option<String>,
    pub level: LogLevel,
    pub reason: String,
    pub set_by: String,
    pub set_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// The log levels of a process. Cheap to clone.
#[derive(Clone)]
pub struct LogLevels {
    inner: Arc<Inner>,
}

struct Inner {
    configured: LogLevel,
    clock: Clock,
    /// At most one for each module.
    changes: RwLock<Vec<LevelChange>>,
    /// The least severe level that any module may log.
    least_severe: AtomicUsize,
}

impl LogLevels {
    /// The configured level for all modules.
    pub fn new(configured: LogLevel, clock: &Clock) -> Self {
        let inner = Inner {
            configured,
            clock: clock.clone(),
            changes: RwLock::default(),
            least_severe: AtomicUsize::new(slog_level(configured).as_usize()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The configured level.
    pub fn configured(&self) -> LogLevel {
        self.inner.configured
    }

    /// The changes that have not expired.
    pub fn changes(&self) -> Vec<LevelChange> {
        let now = self.inner.clock.now();
        let changes = self.inner.changes.read().unwrap_or_else(PoisonError::into_inner);
        changes.iter().filter(|change| change.expires_at > now).cloned().collect()
    }

    /// Sets the level of a module, in place of an earlier change of the same module.
    pub fn set(&self, change: LevelChange) {
        let now = self.inner.clock.now();
        let mut changes = self.inner.changes.write().unwrap_or_else(PoisonError::into_inner);
        changes.retain(|known| known.expires_at > now && known.module != change.module);
        changes.push(change);
        let levels = changes.iter().map(|change| change.level).chain([self.inner.configured]);
        let least_severe = levels.map(|level| slog_level(level).as_usize()).max().unwrap_or(0);
        self.inner.least_severe.store(least_severe, Ordering::Release);
    }

    /// A logger that passes the lines that these levels admit to `logger`.
    pub fn filter(&self, logger: Logger) -> Logger {
        let filtered = Filtered { drain: logger, levels: AssertUnwindSafe(self.clone()) };
        Logger::root(filtered.fuse(), o!())
    }

    fn admits(&self, level: Level, module: &str) -> bool {
        if level.as_usize() > self.inner.least_severe.load(Ordering::Acquire) {
            return false;
        }
        let changes = self.inner.changes.read().unwrap_or_else(PoisonError::into_inner);
        let in_force = match changes.is_empty() {
            true => None,
            false => {
                let now = self.inner.clock.now();
                let applies = |change: &&LevelChange| {
                    change.expires_at > now && change.module.as_ref().is_none_or(|of| is_within(module, of))
                };
                let length = |change: &&LevelChange| change.module.as_ref().map(String::len);
                changes.iter().filter(applies).max_by_key(length).map(|change| change.level)
            }
        };
        level.is_at_least(slog_level(in_force.unwrap_or(self.inner.configured)))
    }
}

/// Whether a module path is `of` or below it.
fn is_within(path: &str, of: &str) -> bool {
    let inside = path.strip_prefix(CRATE).and_then(|path| path.strip_prefix("::")).unwrap_or(path);
    inside.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Passes on the lines that the levels admit.
struct Filtered {
    drain: Logger,
    levels: AssertUnwindSafe<LogLevels>,
}

impl Drain for Filtered {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        if self.levels.admits(record.level(), record.module()) {
            return Drain::log(&self.drain, record, values);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn change(levels: &LogLevels, module: Option<&str>, level: LogLevel, minutes: i64) {
        let now = levels.inner.clock.now();
        levels.set(LevelChange {
            module: module.map(str::to_owned),
            level,
            reason: "test".to_owned(),
            set_by: "admin".to_owned(),
            set_at: now,
            expires_at: now + chrono::TimeDelta::minutes(minutes),
        });
    }

    #[test]
    fn the_change_of_the_innermost_module_applies_until_it_expires() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let levels = LogLevels::new(LogLevel::Info, &clock);
        let admits = |level, module| levels.admits(level, module);
        assert!(admits(Level::Info, "aval::storage::pool") && !admits(Level::Debug, "aval::storage::pool"));
        change(&levels, Some("storage"), LogLevel::Debug, 10);
        change(&levels, Some("storage::pool"), LogLevel::Error, 5);
        change(&levels, None, LogLevel::Warning, 5);
        assert!(admits(Level::Debug, "aval::storage::outbox") && admits(Level::Debug, "aval::storage"));
        assert!(
            !admits(Level::Warning, "aval::storage::pool") && admits(Level::Error, "aval::storage::pool")
        );
        assert!(!admits(Level::Info, "aval::http") && admits(Level::Warning, "aval::http"));
        assert!(!admits(Level::Debug, "aval::storages"), "another module with the same prefix");
        assert_eq!(levels.changes().len(), 3);
        clock.advance(Duration::from_secs(5 * 60));
        assert!(admits(Level::Info, "aval::http") && admits(Level::Debug, "aval::storage::pool"));
        clock.advance(Duration::from_secs(5 * 60));
        assert!(!admits(Level::Debug, "aval::storage::outbox"));
        assert_eq!(levels.changes(), []);
    }

    #[test]
    fn a_later_change_of_a_module_replaces_the_earlier_one() {
        let levels = LogLevels::new(LogLevel::Info, &Clock::manual(DateTime::UNIX_EPOCH));
        change(&levels, Some("http"), LogLevel::Trace, 10);
        change(&levels, Some("http"), LogLevel::Info, 10);
        assert!(!levels.admits(Level::Debug, "aval::http::server"));
        assert_eq!(levels.changes().len(), 1);
    }
}
