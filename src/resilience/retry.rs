//! Writes that Aval's own database refuses for the moment.
//!
//! A bureau that fails uses up a job's attempts; a database that is full, restarting or out of reach must not, or an
//! outage of minutes would leave everything in work to humans. So a write that may succeed later is tried again, with the
//! lease held by its heartbeat meanwhile. It ends with the lease: a worker whose job was given to another is stopped by its
//! heartbeat, and what it still writes is refused by the fencing token.

use std::time::Duration;

use slog::{Logger, warn};

use crate::clock::Clock;
use crate::error::{Error, Result};

/// The longest first pause; it doubles with each try.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Writes until it is written or refused for good. Whoever calls bounds the time.
///
/// # Errors
/// The write's error that another try would not mend.
pub async fn retry_unavailable<T>(
    clock: &Clock,
    logger: &Logger,
    write: impl AsyncFn() -> Result<T>,
) -> Result<T> {
    let mut ceiling = FIRST_PAUSE;
    loop {
        let error = match write().await {
            Err(error) if is_ours_and_passes(&error) => error,
            outcome => return outcome,
        };
        let pause = ceiling / 2 + clock.jitter(ceiling / 2);
        warn!(logger, "the database did not take it; it is tried again"; "pause_ms" => pause.as_millis(), error);
        tokio::time::sleep(pause).await;
        ceiling = (ceiling * 2).min(LONGEST_PAUSE);
    }
}

/// Whether it is our own database or write batcher that cannot for the moment.
fn is_ours_and_passes(error: &Error) -> bool {
    matches!(
        error,
        Error::Database { transient: true, .. } | Error::Unavailable { .. } | Error::Overloaded { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[actix_rt::test]
    async fn a_write_is_tried_until_it_is_taken_or_refused_for_good() {
        let logger = Logger::root(slog::Discard, slog::o!());
        let tries = Cell::new(0);
        let flaky = async || {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err(Error::unavailable("database", "away")) } else { Ok(tries.get()) }
        };
        assert_eq!(retry_unavailable(&Clock::system(), &logger, flaky).await.unwrap(), 3);
        let refused = async || Err::<(), _>(Error::LeaseLost);
        assert!(matches!(retry_unavailable(&Clock::system(), &logger, refused).await, Err(Error::LeaseLost)));
    }
}
