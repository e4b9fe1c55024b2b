//! Helpers that integration tests share, such as databases, running instances, and waiting with a deadline.

pub(crate) mod accounts;
pub(crate) mod app;
pub(crate) mod builders;
pub(crate) mod captured_log;
pub(crate) mod certificates;
pub(crate) mod chaos_proxy;
pub(crate) mod contract;
pub(crate) mod db;
pub(crate) mod engine;
pub(crate) mod otlp;
pub(crate) mod pgbouncer;
pub(crate) mod process;
pub(crate) mod promtool;
pub(crate) mod redact;
pub(crate) mod redis;
pub(crate) mod standby;
pub(crate) mod system_user;

use std::time::{Duration, Instant};

/// How long a test waits for a condition before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `probe` returns a value. After [`PATIENCE`], it panics with `timed out waiting for {what}`.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Pauses, for example between the requests of a client. Never use it to wait for a condition; use [`eventually`].
pub(crate) async fn pace(pause: Duration) {
    tokio::time::sleep(pause).await;
}

/// Writes one byte at a time, as a slow client does, until the server closes the connection. A server that only closes idle
/// connections does not detect such a client.
pub(crate) async fn trickle(stream: &mut tokio::net::TcpStream) {
    use tokio::io::AsyncWriteExt as _;

    while stream.write_all(b"a").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
