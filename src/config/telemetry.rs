//! `[telemetry]`: the export of traces.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::require;
use crate::error::{Error, Result};

/// Which spans are recorded, and where they are sent. The standard variables of OpenTelemetry set the same keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    pub traces: TraceExporter,
    pub service_name: String,
    /// The base URL of the collector.
    pub otlp_endpoint: String,
    /// `name=value` pairs, separated by commas.
    pub otlp_headers: SecretString,
    pub sampler: TraceSampler,
    /// The share of traces that are recorded, from 0 to 1.
    pub sampler_ratio: f64,
    pub export_interval_ms: u64,
    pub export_timeout_ms: u64,
    /// The maximum number of finished spans that wait for their export.
    pub max_queued_spans: usize,
}

/// The exporter of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceExporter {
    #[serde(alias = "none")]
    Off,
    /// OTLP over HTTP with protobuf.
    Otlp,
    /// Standard output.
    Console,
}

/// Decides which traces are recorded. The names are the values of `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TraceSampler {
    #[serde(rename = "always_on")]
    AlwaysOn,
    #[serde(rename = "always_off")]
    AlwaysOff,
    #[serde(rename = "traceidratio")]
    Ratio,
    #[serde(rename = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    #[serde(rename = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    #[serde(rename = "parentbased_traceidratio")]
    ParentBasedRatio,
}

impl TelemetrySettings {
    /// The URL that receives spans (OTLP 1.x, "OTLP/HTTP Request").
    pub(crate) fn traces_endpoint(&self) -> String {
        format!("{}/v1/traces", self.otlp_endpoint.trim_end_matches('/'))
    }

    /// The headers of export requests.
    ///
    /// # Errors
    /// [`Error::Configuration`], which does not quote the value.
    pub(crate) fn headers(&self) -> Result<Vec<(String, String)>> {
        let pair = |text: &str| match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(Error::configuration(
                "telemetry.otlp_headers (OTEL_EXPORTER_OTLP_HEADERS) must be name=value pairs separated by commas",
            )),
        };
        let pairs = self.otlp_headers.expose_secret().split(',').map(str::trim);
        pairs.filter(|text| !text.is_empty()).map(pair).collect()
    }

    pub(super) fn validate(&self) -> Result<()> {
        self.headers()?;
        let is_http = ["http://", "https://"].iter().any(|scheme| self.otlp_endpoint.starts_with(scheme));
        require(
            is_http,
            "telemetry.otlp_endpoint (OTEL_EXPORTER_OTLP_ENDPOINT)",
            "must start with http:// or https://",
        )?;
        require(!self.service_name.trim().is_empty(), "telemetry.service_name", "must not be empty")?;
        require(
            (0.0..=1.0).contains(&self.sampler_ratio),
            "telemetry.sampler_ratio (OTEL_TRACES_SAMPLER_ARG)",
            "must be from 0 to 1",
        )?;
        require(
            (10..=3_600_000).contains(&self.export_interval_ms),
            "telemetry.export_interval_ms",
            "must be from 10 to 3600000",
        )?;
        require(
            (10..=600_000).contains(&self.export_timeout_ms),
            "telemetry.export_timeout_ms",
            "must be from 10 to 600000",
        )?;
        require(
            (1..=1_000_000).contains(&self.max_queued_spans),
            "telemetry.max_queued_spans",
            "must be from 1 to 1000000",
        )
    }
}
