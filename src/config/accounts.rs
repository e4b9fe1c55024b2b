//! `[accounts]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// Least memory of one password hash that OWASP's cheat sheet accepts, with enough iterations.
const MIN_MEMORY_KIB: u32 = 7 * 1024;

/// Logins, tokens and keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSettings {
    /// Who issues access tokens.
    pub issuer: String,
    /// Whom access tokens are for.
    pub audience: String,
    /// An Ed25519 key in PEM (PKCS #8); empty: the tokens are signed with the secret.
    pub signing_key_file: PathBuf,
    /// How long an access token is good.
    pub access_token_minutes: u32,
    /// How much earlier or later than ours the clock of another instance may be.
    pub clock_leeway_s: u32,
    /// How long a refresh token is good.
    pub refresh_token_days: u32,
    /// How long a refresh token may be used again.
    pub refresh_grace_ms: u64,
    /// How long a WebSocket ticket is good.
    pub ticket_seconds: u32,
    /// Longest time that an account is not looked at anew.
    pub cache_ttl_ms: u64,
    /// Most accounts kept in memory.
    pub cache_capacity: u64,
    /// How long a session is good, however often it is renewed.
    pub session_days: u32,
    /// Whether API keys may make API keys.
    pub keys_make_keys: bool,
    /// How long security events are kept.
    pub security_event_retention_days: u32,
    /// What a password hash costs.
    pub passwords: PasswordSettings,
    /// How guessing is slowed down.
    pub guessing: GuessingSettings,
}

/// `[accounts.guessing]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuessingSettings {
    /// Failed log-ins of one address for one name that are not followed by a pause.
    pub attempts: u32,
    /// Addresses that may fail for one name before unknown ones have to pause.
    pub addresses: u32,
    /// The first pause; it doubles with each further failure.
    pub pause_ms: u64,
    /// The longest pause.
    pub longest_pause_ms: u64,
    /// Failed log-ins that are recorded in one minute.
    pub recorded_per_minute: u32,
}

impl GuessingSettings {
    /// The first pause.
    pub fn pause(&self) -> Duration {
        Duration::from_millis(self.pause_ms)
    }

    /// The longest pause.
    pub fn longest_pause(&self) -> Duration {
        Duration::from_millis(self.longest_pause_ms)
    }

    fn validate(&self) -> Result<()> {
        require((1..=100).contains(&self.attempts), "accounts.guessing.attempts", "must be from 1 to 100")?;
        require(
            (1..=10_000).contains(&self.addresses),
            "accounts.guessing.addresses",
            "must be from 1 to 10000",
        )?;
        require(self.pause_ms >= 1, "accounts.guessing.pause_ms", "must be at least 1")?;
        require(
            (self.pause_ms..=86_400_000).contains(&self.longest_pause_ms),
            "accounts.guessing.longest_pause_ms",
            "must be from accounts.guessing.pause_ms to 86400000",
        )?;
        require(
            (1..=10_000).contains(&self.recorded_per_minute),
            "accounts.guessing.recorded_per_minute",
            "must be from 1 to 10000",
        )
    }
}

/// `[accounts.passwords]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordSettings {
    /// Memory of one hash.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Lanes of one hash.
    pub parallelism: u32,
    /// Hashes at once; 0 is one for each core.
    pub hashers: usize,
    /// Hashes that may wait.
    pub queue: usize,
}

impl AccountSettings {
    pub(super) fn validate(&self) -> Result<()> {
        require(!self.issuer.is_empty(), "accounts.issuer", "must not be empty")?;
        require(!self.audience.is_empty(), "accounts.audience", "must not be empty")?;
        require(
            (1..=24 * 60).contains(&self.access_token_minutes),
            "accounts.access_token_minutes",
            "must be from 1 to 1440",
        )?;
        require(self.clock_leeway_s <= 60, "accounts.clock_leeway_s", "must be at most 60")?;
        require(
            (1..=365).contains(&self.refresh_token_days),
            "accounts.refresh_token_days",
            "must be from 1 to 365",
        )?;
        require((1..=365).contains(&self.session_days), "accounts.session_days", "must be from 1 to 365")?;
        require(
            (90..=36_500).contains(&self.security_event_retention_days),
            "accounts.security_event_retention_days",
            "must be from 90 to 36500",
        )?;
        self.guessing.validate()?;
        require(self.refresh_grace_ms <= 60_000, "accounts.refresh_grace_ms", "must be at most 60000")?;
        require(
            (5..=300).contains(&self.ticket_seconds),
            "accounts.ticket_seconds",
            "must be from 5 to 300",
        )?;
        require(self.cache_ttl_ms <= 300_000, "accounts.cache_ttl_ms", "must be at most 300000")?;
        let passwords = &self.passwords;
        require(
            (MIN_MEMORY_KIB..=1 << 20).contains(&passwords.memory_kib),
            "accounts.passwords.memory_kib",
            "must be from 7168 to 1048576",
        )?;
        // 19 MiB with two passes, 7 MiB with five: what lies between is held to the same work.
        require(
            u64::from(passwords.memory_kib) * u64::from(passwords.iterations) >= 35 * 1024,
            "accounts.passwords.iterations",
            "must be at least 2, and 5 with the least memory",
        )?;
        require(passwords.iterations <= 64, "accounts.passwords.iterations", "must be at most 64")?;
        require(
            (1..=16).contains(&passwords.parallelism),
            "accounts.passwords.parallelism",
            "must be from 1 to 16",
        )
    }

    /// How long an access token is good.
    pub fn access_token_ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.access_token_minutes) * 60)
    }

    /// How long a refresh token is good.
    pub fn refresh_token_ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.refresh_token_days) * 86_400)
    }

    /// How long a session is good.
    pub fn session(&self) -> Duration {
        Duration::from_secs(u64::from(self.session_days) * 86_400)
    }

    /// How long a refresh token may be used again.
    pub fn refresh_grace(&self) -> Duration {
        Duration::from_millis(self.refresh_grace_ms)
    }

    /// How long a WebSocket ticket is good.
    pub fn ticket_ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.ticket_seconds))
    }
}
