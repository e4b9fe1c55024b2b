//! The root logger.
//!
//! Loggers are handed down explicitly, each part adding its own fields (`logger`, `request_id`,
//! `application_id`, `country`), so that a line says where it comes from without global state. Lines are written by a
//! thread of their own; when it falls behind, lines are dropped and counted rather than slowing requests. Personal
//! data never gets here: its types have no `Display` (see `domain::personal_data`).

use std::io::{IsTerminal as _, Write};

use slog::{Drain, FnValue, Level, Logger, PushFnValue, Record, o};

use crate::clock::Clock;
use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::error::Error;

/// The root logger, writing to standard error.
pub fn root(settings: &LogSettings, clock: &Clock) -> Logger {
    let terminal = match settings.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Terminal => true,
    };
    if terminal {
        let decorator = slog_term::TermDecorator::new().stderr().build();
        let drain = slog_term::FullFormat::new(decorator).use_utc_timestamp().build().fuse();
        asynchronous(drain, settings.level)
    } else {
        to_writer(std::io::stderr(), settings.level, clock)
    }
}

/// A logger that writes one JSON object a line to `writer`.
pub fn to_writer<W: Write + Send + 'static>(writer: W, level: LogLevel, clock: &Clock) -> Logger {
    let clock = clock.clone();
    let drain = slog_json::Json::new(writer)
        .set_flush(true)
        .add_key_value(o!(
            "timestamp" => PushFnValue(move |_: &Record<'_>, serializer| {
                serializer.emit(clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
            }),
            "level" => FnValue(|record: &Record<'_>| record.level().as_str()),
            "message" => PushFnValue(|record: &Record<'_>, serializer| serializer.emit(record.msg())),
        ))
        .build()
        .fuse();
    asynchronous(drain, level)
}

fn asynchronous<D>(drain: D, level: LogLevel) -> Logger
where
    D: Drain<Ok = (), Err = slog::Never> + Send + 'static,
{
    let queue = slog_async::Async::new(drain).chan_size(8192).build().fuse();
    Logger::root(slog::LevelFilter::new(queue, slog_level(level)).fuse(), o!())
}

const fn slog_level(level: LogLevel) -> Level {
    match level {
        LogLevel::Trace => Level::Trace,
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warning => Level::Warning,
        LogLevel::Error => Level::Error,
        LogLevel::Critical => Level::Critical,
    }
}

/// Sends panics to the log instead of standard error. A message that was formatted at run time is withheld: it may quote
/// what the panicking code was working on.
pub fn take_panics(logger: &Logger) {
    let logger = logger.new(o!("logger" => "panic"));
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("withheld");
        let place = panic.location().map(ToString::to_string);
        let thread = std::thread::current().name().map(ToOwned::to_owned);
        slog::error!(logger, "a task panicked"; "cause" => message, "place" => place, "thread" => thread);
    }));
}

impl slog::KV for Error {
    /// An error as fields of a line: its code, its public text and its private cause.
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn slog::Serializer) -> slog::Result {
        serializer.emit_str("error_code", self.code())?;
        serializer.emit_arguments("error", &format_args!("{self}"))?;
        match self.private_cause() {
            Some(cause) => serializer.emit_str("cause", cause),
            None => Ok(()),
        }
    }
}
