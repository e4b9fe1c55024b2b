//! `[providers]` and `[simulator]`: how each country's bureau is reached and guarded.
//!
//! A country's table may set any key of the defaults for itself alone; [`ProvidersSection::of`] gives the merged
//! result, so that nobody else needs to know which of the two a value came from.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use super::elsewhere::is_plaintext_to_elsewhere;
use super::{Environment, require};
use crate::domain::application::Country;
use crate::error::Result;

macro_rules! overridable {
    ($(#[$doc:meta])* $full:ident, $partial:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $full {
            $($(#[$field_doc])* pub $field: $ty,)+
        }

        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct $partial {
            $($field: Option<$ty>,)+
        }

        impl $partial {
            fn over(&self, defaults: &$full) -> $full {
                $full { $($field: self.$field.clone().unwrap_or_else(|| defaults.$field.clone()),)+ }
            }
        }
    };
}

overridable! {
    /// When a circuit breaker opens and how it closes again (docs/specification.md 4).
    BreakerSettings, BreakerOverrides {
        /// Failures in a row that open it.
        consecutive_failures: u32,
        /// Length of the sliding window.
        window_ms: u64,
        /// Calls in the window below which rates do not count.
        min_calls: u32,
        /// Share of failures that opens it.
        failure_rate_percent: u32,
        /// A call that takes longer is slow.
        slow_call_ms: u64,
        /// Share of slow calls that opens it.
        slow_rate_percent: u32,
        /// How long it stays open the first time.
        open_ms: u64,
        /// How long at most.
        open_max_ms: u64,
        /// Deviation of the open time, both ways.
        open_jitter_percent: u32,
        /// When an unanswered probe counts as a failure.
        probe_timeout_ms: u64,
    }
}

overridable! {
    /// Time-outs, bulkhead and retries of one bureau.
    CallSettings, CallOverrides {
        /// Longest time to connect.
        connect_timeout_ms: u64,
        /// Longest time for a whole call.
        call_timeout_ms: u64,
        /// Largest accepted answer.
        max_body_bytes: usize,
        /// Calls in flight.
        max_in_flight: u32,
        /// Calls that wait for a free place.
        max_queued: u32,
        /// Further tries of one call.
        retries: u32,
        /// The first retry's longest pause.
        retry_backoff_ms: u64,
        /// Retries as a share of the calls of a minute.
        retry_budget_percent: u32,
        /// Retries of a minute that are always allowed.
        retry_budget_min_per_minute: u32,
    }
}

/// How a bureau answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderMode {
    /// On the spot.
    Sync,
    /// It may answer 202 with a reference, and post a webhook later.
    Async,
}

/// What becomes of a country's jobs while its breaker is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenOpen {
    /// They are decided on fallback figures, which leaves them to humans.
    Fallback,
    /// They wait in the queue.
    Pause,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    mode: ProviderMode,
    async_timeout_ms: u64,
    when_open: WhenOpen,
    pause_after_ms: u64,
    call: CallSettings,
    breaker: BreakerSettings,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CountrySection {
    base_url: String,
    simulator: bool,
    mode: Option<ProviderMode>,
    async_timeout_ms: Option<u64>,
    when_open: Option<WhenOpen>,
    pause_after_ms: Option<u64>,
    call: CallOverrides,
    breaker: BreakerOverrides,
}

/// The tables of all bureaus.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvidersSection {
    defaults: Defaults,
    es: CountrySection,
    pt: CountrySection,
    it: CountrySection,
    mx: CountrySection,
    co: CountrySection,
    br: CountrySection,
}

/// How one country's bureau is reached and guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Where the bureau is; `None` for the built-in simulator.
    pub base_url: Option<String>,
    /// How it answers.
    pub mode: ProviderMode,
    /// How long a promised answer is waited for.
    pub async_timeout_ms: u64,
    /// What becomes of jobs while the breaker is not closed.
    pub when_open: WhenOpen,
    /// How long the breaker must not have been closed for jobs to wait.
    pub pause_after_ms: u64,
    /// Time-outs, bulkhead and retries.
    pub call: CallSettings,
    /// The breaker.
    pub breaker: BreakerSettings,
}

impl ProvidersSection {
    fn section(&self, country: Country) -> &CountrySection {
        match country {
            Country::Es => &self.es,
            Country::Pt => &self.pt,
            Country::It => &self.it,
            Country::Mx => &self.mx,
            Country::Co => &self.co,
            Country::Br => &self.br,
        }
    }

    /// The settings of `country`'s bureau.
    pub fn of(&self, country: Country) -> ProviderSettings {
        let section = self.section(country);
        ProviderSettings {
            base_url: Some(section.base_url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty()),
            mode: section.mode.unwrap_or(self.defaults.mode),
            async_timeout_ms: section.async_timeout_ms.unwrap_or(self.defaults.async_timeout_ms),
            when_open: section.when_open.unwrap_or(self.defaults.when_open),
            pause_after_ms: section.pause_after_ms.unwrap_or(self.defaults.pause_after_ms),
            call: section.call.over(&self.defaults.call),
            breaker: section.breaker.over(&self.defaults.breaker),
        }
    }

    /// Refuses in production what is only convenient.
    pub(super) fn validate_for(&self, environment: Environment) -> Result<()> {
        if environment == Environment::Development {
            return Ok(());
        }
        for country in Country::ALL {
            let name = format!("providers.{}", country.lower_code());
            let section = self.section(country);
            require(
                section.simulator || !section.base_url.is_empty(),
                &name,
                "needs a base_url, or simulator = true, in production",
            )?;
            require(
                !is_plaintext_to_elsewhere(&section.base_url),
                &format!("{name}.base_url"),
                "would send personal data to another machine in the clear: use https://, or a proxy on this machine that \
                 speaks TLS to the bureau",
            )?;
        }
        Ok(())
    }

    pub(super) fn validate(&self) -> Result<()> {
        let countries = Country::ALL.into_iter();
        countries
            .map(|country| (country, format!("providers.{}", country.lower_code())))
            .try_for_each(|(country, name)| self.of(country).validate(&name))
    }
}

impl ProviderSettings {
    fn validate(&self, name: &str) -> Result<()> {
        if let Some(url) = &self.base_url {
            let absolute = url.parse::<actix_web::http::Uri>().is_ok_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.host().is_some()
                    && uri.query().is_none()
                    && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            });
            require(
                absolute,
                &format!("{name}.base_url"),
                "must be an absolute http(s) URL without a query, a user or a password",
            )?;
        }
        require(self.async_timeout_ms >= 1, &format!("{name}.async_timeout_ms"), "must be at least 1")?;
        require(self.call.max_in_flight >= 1, &format!("{name}.call.max_in_flight"), "must be at least 1")?;
        require(
            self.call.call_timeout_ms >= 1,
            &format!("{name}.call.call_timeout_ms"),
            "must be at least 1",
        )?;
        let breaker = &self.breaker;
        for (key, value) in [
            ("consecutive_failures", u64::from(breaker.consecutive_failures)),
            ("min_calls", u64::from(breaker.min_calls)),
            ("window_ms", breaker.window_ms),
            ("open_ms", breaker.open_ms),
            ("probe_timeout_ms", breaker.probe_timeout_ms),
        ] {
            require(value >= 1, &format!("{name}.breaker.{key}"), "must be at least 1")?;
        }
        for (key, percent) in [
            ("failure_rate_percent", breaker.failure_rate_percent),
            ("slow_rate_percent", breaker.slow_rate_percent),
        ] {
            require((1..=100).contains(&percent), &format!("{name}.breaker.{key}"), "must be from 1 to 100")?;
        }
        require(
            breaker.open_jitter_percent <= 50,
            &format!("{name}.breaker.open_jitter_percent"),
            "must be at most 50",
        )?;
        require(
            breaker.open_ms <= breaker.open_max_ms,
            &format!("{name}.breaker.open_ms"),
            "must be at most open_max_ms",
        )
    }
}

impl CallSettings {
    /// Longest time to connect.
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// Longest time for a whole call.
    pub fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms)
    }
}

/// The built-in provider simulator.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatorSection {
    /// The address it listens on.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Where bureaus in asynchronous mode post their answers; empty is this instance's own address.
    pub callback_url: String,
}

impl SimulatorSection {
    /// Refuses in production what is only convenient.
    pub(super) fn validate_for(&self, environment: Environment) -> Result<()> {
        let is_production = environment == Environment::Production;
        require(
            !is_production || self.host.is_loopback(),
            "simulator.host",
            "must be a loopback address in production: the simulator has no password and speaks no TLS",
        )?;
        require(
            !is_production || !is_plaintext_to_elsewhere(&self.callback_url),
            "simulator.callback_url",
            "would send personal data to another machine in the clear: use https://",
        )
    }
}
