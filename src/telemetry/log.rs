//! The root logger.
//!
//! Loggers are passed explicitly. Each component adds its fields (`logger`, `request_id`, `application_id`, `country`),
//! so log lines show their source without global state. A separate thread writes the lines; if it falls behind, lines
//! are dropped and counted instead of slowing requests. Personal data cannot be logged: its types have no `Display`
//! (see `domain::personal_data`). Lines that are written within a trace contain `trace_id` and `span_id`. Lines that are
//! written for an account contain its identifier as `account`.

use std::io::{IsTerminal as _, Write};

use slog::{Drain, FnValue, Level, Logger, PushFnValue, Record, o};
use slog_async::{Async, AsyncBuilder, AsyncGuard};

use crate::clock::Clock;
use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::error::Error;
use crate::telemetry::terminal::allows_colour;
use crate::telemetry::trace::Identifiers;

/// The root logger, which writes to standard error, and its guard. Dropping the guard flushes the log; hold it until
/// the process ends.
pub fn root(settings: &LogSettings, clock: &Clock) -> (Logger, AsyncGuard) {
    let terminal = match settings.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Terminal => true,
    };
    let (queue, guard) = if terminal {
        let decorator = slog_term::TermDecorator::new().stderr();
        let decorator = if allows_colour() { decorator.build() } else { decorator.force_plain().build() };
        asynchronous(slog_term::FullFormat::new(decorator).use_utc_timestamp().build().fuse())
            .build_with_guard()
    } else {
        asynchronous(json(std::io::stderr(), clock)).build_with_guard()
    };
    (filtered(queue, settings.level), guard)
}

/// The root logger for a process whose levels can change ([`LogLevels`](super::log_levels::LogLevels)): it writes lines of
/// every level.
pub fn unfiltered_root(settings: &LogSettings, clock: &Clock) -> (Logger, AsyncGuard) {
    root(&LogSettings { level: LogLevel::Trace, ..settings.clone() }, clock)
}

/// A logger that writes one JSON object per line to `writer` and flushes when its last clone is dropped.
pub fn to_writer<W: Write + Send + 'static>(writer: W, level: LogLevel, clock: &Clock) -> Logger {
    filtered(asynchronous(json(writer, clock)).build(), level)
}

fn json<W: Write + Send + 'static>(
    writer: W,
    clock: &Clock,
) -> impl Drain<Ok = (), Err = slog::Never> + Send + 'static {
    let clock = clock.clone();
    slog_json::Json::new(writer)
        .set_flush(true)
        .add_key_value(o!(
            "timestamp" => PushFnValue(move |_: &Record<'_>, serializer| {
                serializer.emit(clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
            }),
            "level" => FnValue(|record: &Record<'_>| record.level().as_str()),
            "message" => PushFnValue(|record: &Record<'_>, serializer| serializer.emit(record.msg())),
        ))
        .build()
        .fuse()
}

fn asynchronous<D>(drain: D) -> AsyncBuilder<D>
where
    D: Drain<Ok = (), Err = slog::Never> + Send + 'static,
{
    Async::new(drain).chan_size(8192)
}

fn filtered(queue: Async, level: LogLevel) -> Logger {
    Logger::root(slog::LevelFilter::new(InTrace(queue.fuse()), slog_level(level)).fuse(), o!())
}

/// Adds the identifiers of the current trace, span and account to a line. It wraps the asynchronous drain, because only
/// the logging thread has them.
struct InTrace<D>(D);

impl<D: Drain<Ok = (), Err = slog::Never>> Drain for InTrace<D> {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, values: &slog::OwnedKVList) -> Result<(), slog::Never> {
        let identifiers = Identifiers::current();
        if identifiers.trace.is_none() && identifiers.account.is_none() {
            return self.0.log(record, values);
        }
        let location = slog::RecordLocation {
            file: record.file(),
            line: record.line(),
            column: record.column(),
            function: record.function(),
            module: record.module(),
        };
        let fixed = slog::RecordStatic { location: &location, tag: record.tag(), level: record.level() };
        let pairs = (identifiers, record.kv());
        self.0.log(&Record::new(&fixed, record.msg(), slog::BorrowedKV(&pairs)), values)
    }
}

pub(super) const fn slog_level(level: LogLevel) -> Level {
    match level {
        LogLevel::Trace => Level::Trace,
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warning => Level::Warning,
        LogLevel::Error => Level::Error,
        LogLevel::Critical => Level::Critical,
    }
}

impl slog::KV for Identifiers {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn slog::Serializer) -> slog::Result {
        if let Some((trace, span)) = self.trace {
            serializer.emit_arguments("trace_id", &format_args!("{trace}"))?;
            serializer.emit_arguments("span_id", &format_args!("{span}"))?;
        }
        match self.account {
            Some(account) => serializer.emit_arguments("account", &format_args!("{account}")),
            None => Ok(()),
        }
    }
}

/// Logs panics instead of printing them. Messages formatted at run time are withheld because they may contain personal
/// data.
pub fn log_panics(logger: &Logger) {
    let logger = logger.new(o!("logger" => "panic"));
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("withheld");
        let place = panic.location().map(ToString::to_string);
        let thread = std::thread::current().name().map(ToOwned::to_owned);
        slog::error!(logger, "a task panicked"; "cause" => message, "place" => place, "thread" => thread);
    }));
}

impl slog::KV for Error {
    /// Adds the error's code, public text and private cause to a line.
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn slog::Serializer) -> slog::Result {
        serializer.emit_str("error_code", self.code())?;
        serializer.emit_arguments("error", &format_args!("{self}"))?;
        match self.private_cause() {
            Some(cause) => serializer.emit_str("cause", cause),
            None => Ok(()),
        }
    }
}
