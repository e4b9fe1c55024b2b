//! Runs work that may panic or exceed a time limit. Both become errors.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::error::{Error, PrivateMessage, Result};

/// Runs `work` for at most `limit`. `what` names the work in the error.
///
/// # Errors
/// [`Error::Timeout`] or [`Error::Panicked`].
pub async fn run_limited<R>(what: &'static str, limit: Duration, work: impl Future<Output = R>) -> Result<R> {
    match tokio::time::timeout(limit, catch_panic(what, work)).await {
        Ok(ended) => ended,
        Err(_elapsed) => Err(Error::Timeout { what, after: limit }),
    }
}

/// Runs `work` and catches panics. `what` names the work in the error.
///
/// # Errors
/// [`Error::Panicked`].
pub async fn catch_panic<R>(what: &'static str, work: impl Future<Output = R>) -> Result<R> {
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    ended.map_err(|panic| Error::Panicked { what, cause: panic_message(&*panic) })
}

/// The message of a panic, when it is a literal. A message that was formatted at run time may contain personal data and is
/// withheld.
fn panic_message(panic: &(dyn Any + Send)) -> PrivateMessage {
    PrivateMessage::new(*panic.downcast_ref::<&'static str>().unwrap_or(&"withheld"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[actix_rt::test]
    async fn work_that_ends_in_time_returns_its_result() {
        assert_eq!(run_limited("work", LONG, async { 7 }).await.unwrap(), 7);
    }

    #[actix_rt::test]
    async fn work_that_exceeds_its_limit_is_dropped_and_becomes_an_error() {
        let alive = std::rc::Rc::new(());
        let held = std::rc::Rc::clone(&alive);
        let endless = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        let error = run_limited("work", Duration::from_millis(1), endless).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { what: "work", .. }), "{error:?}");
        assert_eq!(std::rc::Rc::strong_count(&alive), 1);
    }

    #[actix_rt::test]
    async fn a_panic_becomes_an_error_without_a_message_that_was_formatted_at_run_time() {
        let document = "12345678Z";
        let formatted = run_limited("work", LONG, async { panic!("cannot read {document}") }).await;
        let literal = run_limited("work", LONG, async { panic!("a literal") }).await;
        let cause = |ended: Result<()>| ended.unwrap_err().private_cause().unwrap().to_owned();
        assert_eq!([cause(formatted), cause(literal)], ["withheld", "a literal"]);
    }
}
