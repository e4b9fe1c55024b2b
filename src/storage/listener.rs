//! `LISTEN`: what the database announces, as it commits.
//!
//! A notification is a hint. It is lost while no connection listens, so every consumer also polls, and each new
//! connection announces every topic once, for what may have been missed.
//!
//! A connection whose other end has vanished, or of which a proxy has closed the server's half, is silent like one
//! with nothing to tell. So each listener sends a notification to itself every second: when it does not come back,
//! the connection is lost. The heartbeat also gives a quiet database a transaction every second, by which a replica's
//! lag can be measured.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::error::{Error, Result};
use crate::storage::{Database, Session};

/// How often a listener sends itself a notification.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Longest wait for a notification to be sent. It must have come back when the next is due.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    /// There are new jobs.
    Jobs,
    /// There are events that no relay has published.
    Outbox,
    /// There are newly published events, up to this offset where it is known.
    Published(Option<i64>),
    /// Some account or API key has changed.
    Accounts,
    /// An operator wants something else of a circuit breaker.
    Circuits,
}

impl Notification {
    /// Every notification.
    pub const ALL: [Self; 5] =
        [Self::Jobs, Self::Outbox, Self::Published(None), Self::Accounts, Self::Circuits];

    /// The channel's name.
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

/// A connection that listens.
pub struct Listener {
    session: Session,
    /// A channel that no other connection listens to.
    own_channel: String,
    heartbeat: Interval,
    /// A notification to itself was sent and has not come back.
    is_awaited: bool,
}

impl Listener {
    /// Listens to all channels on a connection of its own.
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
    /// When the connection is lost, or its heartbeat is: within some three seconds.
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
        let silent = "the listening connection does not answer";
        if std::mem::replace(&mut self.is_awaited, true) {
            return Err(lost(silent));
        }
        let notify = format!("NOTIFY {}", self.own_channel);
        timeout(PATIENCE, self.session.batch_execute(&notify)).await.map_err(|_late| lost(silent))??;
        Ok(())
    }
}

fn lost(cause: &str) -> Error {
    Error::unavailable("database", cause)
}
