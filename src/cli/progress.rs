//! Progress of long commands, on standard error and only if that is a terminal. Colours follow `NO_COLOR`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{Error, Result};

/// How often a display without other events is redrawn.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// A bar that counts rows towards a known total.
///
/// # Errors
/// [`Error::Internal`] if the template is invalid, which is a bug.
pub(super) fn rows() -> Result<ProgressBar> {
    Ok(ProgressBar::no_length().with_style(style("[{bar:40}] {pos}/{len} rows, {per_sec}, {eta} left")?))
}

/// A bar that counts events towards a known total.
///
/// # Errors
/// As [`rows`].
pub(super) fn events() -> Result<ProgressBar> {
    Ok(ProgressBar::no_length().with_style(style("[{bar:40}] {pos}/{len} events, {per_sec}, {eta} left")?))
}

/// A display that counts bytes of an unknown total.
///
/// # Errors
/// As [`rows`].
pub(super) fn bytes(message: &'static str) -> Result<ProgressBar> {
    let template = "{spinner} {msg}: {bytes}, {bytes_per_sec}, {elapsed}";
    Ok(ticking(ProgressBar::no_length().with_style(style(template)?).with_message(message)))
}

/// A display of the time that a step takes.
///
/// # Errors
/// As [`rows`].
pub(super) fn time(message: String) -> Result<ProgressBar> {
    Ok(ticking(
        ProgressBar::no_length().with_style(style("{spinner} {msg}, {elapsed}")?).with_message(message),
    ))
}

fn style(template: &str) -> Result<ProgressStyle> {
    ProgressStyle::with_template(template).map_err(Error::internal)
}

fn ticking(bar: ProgressBar) -> ProgressBar {
    bar.enable_steady_tick(REDRAW_INTERVAL);
    bar
}
