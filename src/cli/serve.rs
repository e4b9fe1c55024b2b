//! `aval serve`: everything, until it is told to stop.

use slog::{Logger, info};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::clock::Clock;
use crate::config::Settings;
use crate::error::{Error, PrivateMessage, Result};
use crate::telemetry::log;

/// Serves until SIGTERM or SIGINT, then stops in order.
///
/// # Errors
/// When a part cannot be started, or when one cannot be kept running.
pub async fn run(settings: Settings, clock: Clock, logger: Logger) -> Result<()> {
    log::take_panics(&logger);
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    let starting = App::start(settings, clock, logger.clone());
    let app = tokio::select! {
        app = starting => app?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    info!(logger, "Aval serves"; "address" => format!("http://{}", app.address()));
    let fatal = app.fatal();
    let lost = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = fatal.cancelled() => true,
    };
    app.shutdown().await;
    if lost {
        let cause = PrivateMessage::new("a permanent part died too often; see the log");
        return Err(Error::Unavailable { what: "aval", cause });
    }
    Ok(())
}
