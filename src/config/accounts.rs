//! `[accounts]`: access tokens, sessions, passwords and API keys.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::require;
use crate::error::Result;

/// The minimum memory that OWASP's password storage cheat sheet accepts for Argon2id (with five passes).
const MIN_MEMORY_KIB: u32 = 7 * 1024;

/// Settings for sign-ins, tokens and API keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSettings {
    /// The `iss` claim of access tokens.
    pub issuer: String,
    /// The `aud` claim of access tokens.
    pub audience: String,
    /// An Ed25519 key in PEM (PKCS #8) that signs access tokens. If empty, `secrets.jwt` signs them (HS256).
    pub signing_key_file: PathBuf,
    /// Lifetime of an access token.
    pub access_token_minutes: u32,
    /// The maximum clock difference between instances that is accepted.
    pub clock_leeway_s: u32,
    /// Lifetime of a refresh token.
    pub refresh_token_days: u32,
    /// How long a refresh token may be used again after its first use.
    pub refresh_grace_ms: u64,
    /// Lifetime of a WebSocket ticket.
    pub ticket_seconds: u32,
    /// The maximum time before a cached account is read from the database again.
    pub cache_ttl_ms: u64,
    /// The maximum number of accounts, and of API keys, that are cached in memory.
    pub cache_capacity: u64,
    /// Lifetime of a session, however often it is refreshed.
    pub session_days: u32,
    /// Whether an API key may create API keys.
    pub keys_make_keys: bool,
    /// How long security events are kept.
    pub security_event_retention_days: u32,
    /// Parameters of the password hash.
    pub passwords: PasswordSettings,
    /// Limits on failed sign-ins.
    pub guessing: GuessingSettings,
}

/// `[accounts.guessing]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuessingSettings {
    /// The number of failed sign-ins from one address for one account name after which that address must wait.
    pub attempts: u32,
    /// The number of addresses with failed sign-ins for one account name after which every unknown address must wait.
    pub addresses: u32,
    /// The first pause. It doubles with each further failure.
    pub pause_ms: u64,
    /// The longest pause.
    pub longest_pause_ms: u64,
    /// The maximum number of failed sign-ins that an instance records as security events per minute.
    pub recorded_per_minute: u32,
}

impl GuessingSettings {
    pub(crate) fn pause(&self) -> Duration {
        Duration::from_millis(self.pause_ms)
    }

    pub(crate) fn longest_pause(&self) -> Duration {
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
    /// The memory that Argon2id uses for one hash.
    pub memory_kib: u32,
    /// The number of passes of Argon2id.
    pub iterations: u32,
    /// The degree of parallelism of Argon2id.
    pub parallelism: u32,
    /// The maximum number of hashes computed at once; 0 for one per core.
    pub hashers: usize,
    /// The maximum number of hashes that wait to be computed.
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
        // OWASP accepts 19 MiB with two passes or 7 MiB with five. Memory times passes must not be lower than that.
        require(
            u64::from(passwords.memory_kib) * u64::from(passwords.iterations) >= 35 * 1024,
            "accounts.passwords.iterations",
            "must be at least 2, or at least 5 with 7168 KiB",
        )?;
        require(passwords.iterations <= 64, "accounts.passwords.iterations", "must be at most 64")?;
        require(
            (1..=16).contains(&passwords.parallelism),
            "accounts.passwords.parallelism",
            "must be from 1 to 16",
        )
    }

    pub(crate) fn access_token_ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.access_token_minutes) * 60)
    }

    pub(crate) fn refresh_token_ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.refresh_token_days) * 86_400)
    }

    pub(crate) fn session(&self) -> Duration {
        Duration::from_secs(u64::from(self.session_days) * 86_400)
    }

    pub(crate) fn refresh_grace(&self) -> Duration {
        Duration::from_millis(self.refresh_grace_ms)
    }

    pub(crate) fn ticket_ttl(&self) -> Duration {
        Duration::from_secs(u64::from(self.ticket_seconds))
    }
}
