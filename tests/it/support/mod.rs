//! What integration tests share: a database each, the running core, and waiting with a deadline.

pub(crate) mod accounts;
pub(crate) mod app;
pub(crate) mod builders;
pub(crate) mod captured_log;
pub(crate) mod certificates;
pub(crate) mod chaos_proxy;
pub(crate) mod contract;
pub(crate) mod db;
pub(crate) mod engine;
pub(crate) mod pgbouncer;
pub(crate) mod process;
pub(crate) mod redact;
pub(crate) mod redis;
pub(crate) mod standby;
pub(crate) mod system_user;

use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `probe` gives a value; panics with `what` after [`PATIENCE`].
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The pace of a client that sends one thing after another. Never a wait for something to happen: that is [`eventually`].
pub(crate) async fn pace(pause: Duration) {
    tokio::time::sleep(pause).await;
}

/// A slow client: writes one byte at a time, which is enough to look alive to anything that looks at bytes, until the server
/// closes the connection.
pub(crate) async fn trickle(stream: &mut tokio::net::TcpStream) {
    use tokio::io::AsyncWriteExt as _;

    while stream.write_all(b"a").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
