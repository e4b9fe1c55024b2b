//! Whether a Redis server can hold the streams.
//!
//! Streams have no expiry, so the eviction policies `allkeys-*` would delete them. `XAUTOCLAIM` removes deleted entries from
//! the list of pending entries since Redis 7.0. A server that is unreachable when Aval starts is checked later.

use std::sync::{Mutex, PoisonError};

use redis::cmd;
use slog::{Logger, error, warn};

use crate::error::{Error, Result};
use crate::redis::{Operation, Redis};

/// The oldest major version of Redis that can hold the streams.
const MAJOR_VERSION: u32 = 7;

/// The result of the check.
#[derive(Debug, Default)]
pub(super) struct Suitability(Mutex<Option<Verdict>>);

/// `Err` contains why the server cannot hold the streams.
type Verdict = Result<(), String>;

impl Suitability {
    pub(super) fn problem(&self) -> Option<String> {
        self.verdict()?.err()
    }

    /// Checks the server unless it is known to be suitable. A new problem is logged.
    ///
    /// # Errors
    /// If Redis is unavailable.
    pub(super) async fn check(&self, redis: &Redis, logger: &Logger) -> Result<bool> {
        let known = self.verdict();
        if known == Some(Ok(())) {
            return Ok(true);
        }
        let found = verdict(redis, logger).await?;
        if let Err(problem) = &found
            && known.as_ref() != Some(&found)
        {
            error!(logger, "Redis cannot hold event streams; continuing without them"; "problem" => problem);
        }
        let is_suitable = found.is_ok();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(is_suitable)
    }

    fn verdict(&self) -> Option<Verdict> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Checks the server when an instance starts. An unreachable server passes; it is checked before the streams are used.
///
/// # Errors
/// [`Error::Configuration`] if the server cannot hold the streams.
pub async fn check(redis: &Redis, logger: &Logger) -> Result<()> {
    match verdict(redis, logger).await {
        Ok(Err(problem)) => Err(Error::configuration(format_args!("redis: {problem}"))),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

async fn verdict(redis: &Redis, logger: &Logger) -> Result<Verdict> {
    let mut info = String::new();
    for section in ["server", "memory"] {
        match redis.call::<String>(Operation::ServerInfo, cmd("INFO").arg(section)).await {
            Ok(text) => info.push_str(&text),
            Err(error) if is_forbidden(&error) => {
                warn!(
                    logger,
                    "version and eviction policy of Redis are unknown: permission for INFO is missing"
                );
                return Ok(Ok(()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(judge(&info))
}

fn is_forbidden(error: &Error) -> bool {
    error.private_cause().is_some_and(|cause| cause.contains("NOPERM"))
}

/// Judges the output of `INFO`.
fn judge(info: &str) -> Verdict {
    let value = |name: &str| {
        let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.map(str::trim)
    };
    let major = value("redis_version").and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if let Some(major) = major.filter(|major| *major < MAJOR_VERSION) {
        return Err(format!(
            "event streams need Redis {MAJOR_VERSION}.0 or newer, but the server has version {major}; upgrade it, or set \
             events.stream = \"\" to do without streams"
        ));
    }
    match value("maxmemory_policy") {
        Some(policy) if policy.starts_with("allkeys-") => Err(format!(
            "the eviction policy {policy} could delete event streams; set maxmemory-policy to volatile-lru or noeviction, or \
             events.stream = \"\" to do without streams"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_and_policies_that_evict_streams_are_refused() {
        let of = |version: &str, policy: &str| {
            judge(&format!(
                "# Server\r\nredis_version:{version}\r\n# Memory\r\nmaxmemory_policy:{policy}\r\n"
            ))
        };
        for (version, policy, fits) in [
            ("7.0.15", "noeviction", true),
            ("7.2.4", "volatile-lru", true),
            ("10.1.0", "volatile-ttl", true),
            ("6.2.14", "noeviction", false),
            ("7.0.15", "allkeys-lru", false),
            ("7.0.15", "allkeys-random", false),
        ] {
            assert_eq!(of(version, policy).is_ok(), fits, "{version} {policy}");
        }
        assert_eq!(judge(""), Ok(()));
        assert!(of("7.0.15", "allkeys-lfu").unwrap_err().contains("maxmemory-policy"));
    }
}
