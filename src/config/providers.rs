//! `[providers]` and `[simulator]`: how each country's bureau is called.
//!
//! The table of a country can override any default. [`ProvidersSection::of`] returns the merged settings.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::remote::is_unencrypted_to_remote;
use super::{Environment, require};
use crate::domain::application::Country;
use crate::domain::per_country::{PerCountry, country_of_key};
use crate::error::Result;

/// Declares settings, and a type in which each of them is optional, which overrides defaults.
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
    /// When a circuit breaker opens and closes (docs/specification.md 4).
    BreakerSettings, BreakerOverrides {
        /// Consecutive failures that open the breaker.
        consecutive_failures: u32,
        /// The length of the sliding window.
        window_ms: u64,
        /// The minimum number of calls in the window for the rates to apply.
        min_calls: u32,
        /// Failure rate that opens the breaker.
        failure_rate_percent: u32,
        /// The duration above which a call counts as slow.
        slow_call_ms: u64,
        /// Rate of slow calls that opens the breaker.
        slow_rate_percent: u32,
        /// How long the breaker stays open the first time. It doubles each time the breaker opens again.
        open_ms: u64,
        /// The maximum time that the breaker stays open.
        open_max_ms: u64,
        /// The random deviation of the open time in either direction, so that instances do not all probe at the same time.
        open_jitter_percent: u32,
        /// The time after which a probe without a response fails.
        probe_timeout_ms: u64,
    }
}

overridable! {
    /// Timeouts, bulkhead and retries of calls to one bureau.
    CallSettings, CallOverrides {
        /// The maximum time to connect.
        connect_timeout_ms: u64,
        /// The maximum time for a whole call, including the connection.
        call_timeout_ms: u64,
        /// The maximum size of a response body.
        max_body_bytes: usize,
        /// The maximum number of calls in flight.
        max_in_flight: u32,
        /// The maximum number of calls that wait for a permit of the bulkhead.
        max_queued: u32,
        /// The maximum number of retries of one call.
        retries: u32,
        /// The upper limit of the delay before the first retry. It doubles with each retry.
        retry_backoff_ms: u64,
        /// Retries per minute as a share of the calls per minute.
        retry_budget_percent: u32,
        /// Retries per minute that are always allowed.
        retry_budget_min_per_minute: u32,
    }
}

/// How a bureau delivers its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderMode {
    /// In the response.
    Sync,
    /// In a webhook, if the bureau responds with a 202 and a reference; otherwise in the response.
    Async,
}

/// What happens to a country's jobs while its breaker is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenOpen {
    /// Applications are decided on fallback figures, which sends them to review.
    Fallback,
    /// Jobs wait in the queue.
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

/// `[providers]`: the settings of every bureau.
#[derive(Debug, Clone)]
pub struct ProvidersSection {
    defaults: Defaults,
    countries: PerCountry<CountrySection>,
}

impl<'de> Deserialize<'de> for ProvidersSection {
    /// Reads the table `defaults` and the tables of the countries. `#[serde(flatten)]` cannot be used, because it accepts
    /// unknown keys.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tables;

        impl<'de> Visitor<'de> for Tables {
            type Value = ProvidersSection;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the table `defaults` and a table for each country")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut defaults, mut countries) = (None, PerCountry::default());
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "defaults" => defaults = Some(map.next_value()?),
                        code => countries.set(country_of_key(code)?, map.next_value()?),
                    }
                }
                let defaults = defaults.ok_or_else(|| A::Error::missing_field("defaults"))?;
                Ok(ProvidersSection { defaults, countries })
            }
        }

        deserializer.deserialize_map(Tables)
    }
}

/// Merged settings of one country's bureau.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSettings {
    /// The base URL of the bureau; `None` for the built-in simulator.
    pub base_url: Option<String>,
    /// How the bureau delivers its report.
    pub mode: ProviderMode,
    /// The maximum wait for a report by webhook.
    pub async_timeout_ms: u64,
    /// What happens to jobs while the breaker is not closed.
    pub when_open: WhenOpen,
    /// With [`WhenOpen::Pause`], how long the breaker must have been open or half-open before jobs wait.
    pub pause_after_ms: u64,
    /// Timeouts, bulkhead and retries.
    pub call: CallSettings,
    /// The circuit breaker.
    pub breaker: BreakerSettings,
}

impl ProvidersSection {
    /// The merged settings of `country`'s bureau.
    pub fn of(&self, country: Country) -> ProviderSettings {
        let section = self.countries.get(country);
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

    /// The calls in flight and queued that the bulkheads of all countries allow together.
    pub(super) fn bulkhead_capacity(&self) -> usize {
        let calls = Country::ALL.into_iter().map(|country| self.of(country).call);
        let capacities = calls.map(|call| call.max_in_flight.saturating_add(call.max_queued));
        usize::try_from(capacities.fold(0, u32::saturating_add)).unwrap_or(usize::MAX)
    }

    /// In production, requires a bureau or an explicit simulator for every country, and encrypted connections to other
    /// machines.
    pub(super) fn validate_for(&self, environment: Environment) -> Result<()> {
        if !environment.is_production() {
            return Ok(());
        }
        for country in Country::ALL {
            let name = format!("providers.{}", country.lower_code());
            let section = self.countries.get(country);
            require(
                section.simulator || !section.base_url.is_empty(),
                &name,
                "needs base_url or simulator = true in production",
            )?;
            require(
                !is_unencrypted_to_remote(&section.base_url),
                &format!("{name}.base_url"),
                "would send personal data to another machine unencrypted: use https://, or a TLS proxy on this machine",
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
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms)
    }
}

/// `[simulator]`: the built-in provider simulator.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatorSection {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 for any free port.
    pub port: u16,
    /// The base URL for the simulated bureaus' webhooks. If empty, they are sent to this instance.
    pub callback_url: String,
}

impl SimulatorSection {
    /// In production, allows the simulator only on this machine, because it has neither authentication nor TLS.
    pub(super) fn validate_for(&self, environment: Environment) -> Result<()> {
        let is_production = environment.is_production();
        require(
            !is_production || self.host.is_loopback(),
            "simulator.host",
            "must be a loopback address in production: the simulator has neither authentication nor TLS",
        )?;
        require(
            !is_production || !is_unencrypted_to_remote(&self.callback_url),
            "simulator.callback_url",
            "would send personal data to another machine unencrypted: use https://",
        )
    }
}
