//! Forwards the database's notifications for the lifetime of the process.
//!
//! This is an asynchronous (tokio) task, not an actor. It turns each notification into a hint. When its connection is
//! lost, it reconnects after a pause and then forwards every kind of notification once, because some may have been
//! missed.

use std::sync::Arc;
use std::time::Duration;

use slog::{info, warn};

use crate::error::Result;
use crate::resources::Resources;
use crate::storage::listener::{Listener, Notification};

/// The name of this asynchronous task in logs and metrics.
pub const NAME: &str = "notifications";

/// The label of this push channel in metrics and the health report.
pub const CHANNEL: &str = "postgres";

/// Handles a notification; must not block.
pub type OnNotification = Arc<dyn Fn(Notification) + Send + Sync>;

/// Called with `true` when notifications begin to arrive, and with `false` when the listening connection is lost.
pub type OnListening = Arc<dyn Fn(bool) + Send + Sync>;

/// Forwards notifications. Never returns.
pub async fn forward(resources: Resources, on_notification: OnNotification, on_listening: OnListening) {
    let up = resources.metrics.push_channel_up.with_label_values(&[CHANNEL]);
    let on_listening: OnListening = Arc::new(move |listening| {
        up.set(i64::from(listening));
        on_listening(listening);
    });
    loop {
        // Also reports the loss when this task is dropped or panics.
        let report_on_drop = ReportDownOnDrop(Arc::clone(&on_listening));
        if let Err(error) = listen(&resources, &on_notification, &on_listening).await {
            resources.metrics.push_channel_losses_total.with_label_values(&[CHANNEL]).inc();
            warn!(resources.logger, "listening connection failed; reconnecting"; error);
        }
        drop(report_on_drop);
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

async fn listen(
    resources: &Resources,
    on_notification: &OnNotification,
    on_listening: &OnListening,
) -> Result<()> {
    let mut listener = Listener::connect(&resources.database).await?;
    info!(resources.logger, "listening for database notifications");
    on_listening(true);
    for notification in Notification::ALL {
        on_notification(notification);
    }
    loop {
        on_notification(listener.next().await?);
    }
}
