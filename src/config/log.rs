//! `[log]`: log level and format.

use serde::Deserialize;

/// The least severe level to log, and the format of log lines.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// The format of a log line.
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
/// Log levels.
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    #[serde(alias = "warn")]
    Warning,
    Error,
    Critical,
}

impl LogLevel {
    /// All levels, least severe first.
    pub const ALL: [Self; 6] =
        [Self::Trace, Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The name in the configuration and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, otherwise JSON.
    Auto,
    /// One JSON object per line.
    Json,
    /// Coloured text.
    Terminal,
}
