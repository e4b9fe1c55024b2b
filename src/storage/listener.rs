//! `LISTEN`: notifications that the database sends on commit.
//!
//! A notification is a hint. It is lost if no connection listens. Therefore every consumer also polls, and after each new
//! connection, `events::notifications` reports every topic once.
//!
//! A connection whose server has disappeared, or whose server side a proxy has closed, looks like an idle connection.
//! Therefore each listener sends itself a notification every second. If it does not arrive, the connection is lost. This
//! heartbeat also produces a transaction every second on an idle database, which makes a replica's lag measurable.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::error::{Error, Result};
use crate::storage::{Database, DatabaseSession};

/// The interval of a listener's heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The timeout for sending a heartbeat. The heartbeat must return before the next one is due.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The topic of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    /// Jobs were queued.
    Jobs,
    /// The outbox has unpublished events.
    Outbox,
    /// Events were published, up to this offset if it is known.
    Published(Option<i64>),
    /// An account or API key was changed.
    Accounts,
    /// An operator changed a circuit breaker override.
    Circuits,
}

impl Notification {
    /// All topics.
    pub const ALL: [Self; 5] =
        [Self::Jobs, Self::Outbox, Self::Published(None), Self::Accounts, Self::Circuits];

    pub const fn channel(self) -> &'static str {
        match self {
            Self::Jobs => "aval_jobs",
            Self::Outbox => "aval_outbox",
            Self::Published(_) => "aval_published",
            Self::Accounts => "aval_accounts",
            Self::Circuits => "aval_circuits",
        }
    }
}

/// A listening connection.
pub struct Listener {
    session: DatabaseSession,
    /// A channel that only this connection listens to.
    own_channel: String,
    heartbeat: Interval,
    /// Whether a heartbeat was sent and has not returned.
    is_awaited: bool,
}

impl Listener {
    /// Opens a connection that listens to all channels.
    pub async fn connect(database: &Database) -> Result<Self> {
        let mut session = database.dedicated().await?;
        let own_channel = format!("aval_heartbeat_{}", session.facts.process().unsigned_abs());
        let channels = Notification::ALL.iter().map(|notification| notification.channel());
        let listen: String =
            channels.chain([own_channel.as_str()]).map(|channel| format!("LISTEN {channel};")).collect();
        session.batch_execute(&listen).await?;
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { session, own_channel, heartbeat, is_awaited: false })
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// If the connection or its heartbeat is lost, which is detected within about three seconds.
    pub async fn next(&mut self) -> Result<Notification> {
        loop {
            let notification = tokio::select! {
                biased;
                notification = self.session.notifications.recv() => notification,
                _ = self.heartbeat.tick() => {
                    self.beat().await?;
                    continue;
                }
            };
            let notification = notification.ok_or_else(|| lost("the listening connection was closed"))?;
            if notification.channel() == self.own_channel {
                self.is_awaited = false;
                continue;
            }
            let known = Notification::ALL.into_iter().find(|a| a.channel() == notification.channel());
            match known {
                Some(Notification::Published(_)) => {
                    return Ok(Notification::Published(notification.payload().parse().ok()));
                }
                Some(notification) => return Ok(notification),
                None => {}
            }
        }
    }

    async fn beat(&mut self) -> Result<()> {
        let silent = "the listening connection does not respond";
        if std::mem::replace(&mut self.is_awaited, true) {
            return Err(lost(silent));
        }
        let notify = format!("NOTIFY {}", self.own_channel);
        timeout(TIMEOUT, self.session.batch_execute(&notify)).await.map_err(|_late| lost(silent))??;
        Ok(())
    }
}

fn lost(cause: &str) -> Error {
    Error::unavailable("database", cause)
}
