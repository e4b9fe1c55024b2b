//! `LISTEN`: what the database announces, as it commits.
//!
//! A notification is a hint. It is lost while no connection listens, so every consumer also polls, and each new
//! connection announces every topic once, for what may have been missed.

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::StreamExt as _;

use crate::error::{Error, Result};
use crate::storage::Database;

/// What was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
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

impl Announcement {
    /// Every announcement.
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
    connection: AsyncPgConnection,
}

impl Listener {
    /// Listens to all channels on a connection of its own.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(database: &Database) -> Result<Self> {
        let mut connection = database.dedicated().await?;
        let listen: String = Announcement::ALL.iter().map(|a| format!("LISTEN {};", a.channel())).collect();
        connection.batch_execute(&listen).await?;
        Ok(Self { connection })
    }

    /// Waits for the next announcement.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn next(&mut self) -> Result<Announcement> {
        let mut notifications = std::pin::pin!(self.connection.notifications_stream());
        loop {
            let notification = notifications
                .next()
                .await
                .ok_or_else(|| Error::unavailable("database", "the listening connection was closed"))??;
            let known = Announcement::ALL.into_iter().find(|a| a.channel() == notification.channel);
            match known {
                Some(Announcement::Published(_)) => {
                    return Ok(Announcement::Published(notification.payload.parse().ok()));
                }
                Some(announcement) => return Ok(announcement),
                None => {}
            }
        }
    }
}
