//! Measures the age of the oldest unpublished event.
//!
//! Every instance with the role relay measures it, whether it leads or not, and independently of the relay: if the relay
//! hangs, or no instance leads, the age grows.

use std::time::Duration;

use slog::debug;
use tokio::time::{sleep, timeout};

use crate::error::{Error, Result};
use crate::resources::Resources;
use crate::storage::outbox;
use crate::telemetry::metrics::seconds;

/// The name of the asynchronous task in logs and metrics.
pub const NAME: &str = "outbox_lag";

/// The interval of the measurement.
const INTERVAL: Duration = Duration::from_secs(1);
/// The timeout of one measurement.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Measures the age every second. Never returns.
pub async fn watch(resources: Resources) {
    loop {
        let measured = timeout(TIMEOUT, measure(&resources)).await;
        let late = |_| Error::Timeout { what: "the age of the outbox", after: TIMEOUT };
        let age = measured.map_err(late).and_then(|measured| measured);
        if let Err(error) = &age {
            debug!(resources.logger, "the age of the outbox is unknown"; error.clone());
        }
        resources.metrics.outbox_lag_seconds.set(age.ok().map(seconds));
        sleep(INTERVAL).await;
    }
}

async fn measure(resources: &Resources) -> Result<Duration> {
    let mut connection = resources.database.get().await?;
    Ok(outbox::oldest_wait(&mut connection, resources.clock.now()).await?.unwrap_or_default())
}
