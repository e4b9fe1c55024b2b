//! Retries of writes that Aval's own database temporarily rejects.
//!
//! A failing bureau uses up a job's attempts. A database that is full, restarting or unreachable must not use them up,
//! or an outage of a few minutes would send all applications in progress to review. Therefore a write that may succeed
//! later is retried, while the lease is renewed. The retries end with the lease: a worker whose job was claimed
//! by another worker is stopped when its renewal fails, and its late writes are rejected by the fencing token.

use std::time::Duration;

use slog::{Logger, warn};

use crate::clock::Clock;
use crate::error::{Error, Result};

/// The maximum of the first pause, which doubles with each attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Repeats a write until it succeeds or fails permanently. The caller must impose a time limit.
///
/// # Errors
/// The write's permanent error.
pub async fn retry_unavailable<T>(
    clock: &Clock,
    logger: &Logger,
    write: impl AsyncFn() -> Result<T>,
) -> Result<T> {
    let mut ceiling = FIRST_PAUSE;
    loop {
        let error = match write().await {
            Err(error) if is_temporary(&error) => error,
            outcome => return outcome,
        };
        let pause = ceiling / 2 + clock.jitter(ceiling / 2);
        warn!(logger, "write failed; retrying"; "pause_ms" => pause.as_millis(), error);
        tokio::time::sleep(pause).await;
        ceiling = (ceiling * 2).min(LONGEST_PAUSE);
    }
}

/// Whether Aval's own database or write batcher is temporarily unavailable.
fn is_temporary(error: &Error) -> bool {
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
    async fn a_write_is_retried_until_it_succeeds_or_fails_permanently() {
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
