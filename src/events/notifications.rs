//! Listening to what the database announces, for as long as the process lives.
//!
//! Not an actor: a task that turns each notification into a hint. When its connection is lost it connects again after a
//! pause, and then gives every hint once, for what it may have missed.

use std::sync::Arc;
use std::time::Duration;

use slog::{info, warn};

use crate::error::Result;
use crate::resources::Resources;
use crate::storage::listener::{Listener, Notification};

/// The task's name, in logs and metrics.
pub const NAME: &str = "notifications";

/// The channel's name, in metrics and health.
pub const CHANNEL: &str = "postgres";

/// Takes a hint on; it must not block.
pub type OnNotification = Arc<dyn Fn(Notification) + Send + Sync>;

/// Hears whether notifications are heard, for those who may rely on them only while they are.
pub type OnListening = Arc<dyn Fn(bool) + Send + Sync>;

/// Passes notifications on, for ever.
pub async fn forward(resources: Resources, take: OnNotification, on_listening: OnListening) {
    let up = resources.metrics.push_channel_up.with_label_values(&[CHANNEL]);
    let on_listening: OnListening = Arc::new(move |listening| {
        up.set(i64::from(listening));
        on_listening(listening);
    });
    loop {
        // Also when this task is dropped or panics, nothing may go on relying on it.
        let deaf_again = ReportDownOnDrop(Arc::clone(&on_listening));
        if let Err(error) = listen(&resources, &take, &on_listening).await {
            resources.metrics.push_channel_losses_total.with_label_values(&[CHANNEL]).inc();
            warn!(resources.logger, "not listening to the database for now"; error);
        }
        drop(deaf_again);
        let pause = Duration::from_millis(resources.settings.outbox.leader_retry_ms);
        tokio::time::sleep(pause).await;
    }
}

struct ReportDownOnDrop(OnListening);

impl Drop for ReportDownOnDrop {
    fn drop(&mut self) {
        (self.0)(false);
    }
}

async fn listen(resources: &Resources, take: &OnNotification, on_listening: &OnListening) -> Result<()> {
    let mut listener = Listener::connect(&resources.database).await?;
    info!(resources.logger, "listening to the database");
    on_listening(true);
    for notification in Notification::ALL {
        take(notification);
    }
    loop {
        take(listener.next().await?);
    }
}
