//! A database session: Diesel's connection, its state, and its notifications.

use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use diesel::result::ConnectionError;
use diesel_async::AsyncPgConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{AsyncMessage, Client, Connection, Notification};

use super::fitness::SessionFacts;

/// A session. Dropping it closes the connection.
pub struct DatabaseSession {
    connection: AsyncPgConnection,
    pub(super) facts: Arc<SessionFacts>,
    /// Notifications of the channels that the session listens to.
    pub(super) notifications: UnboundedReceiver<Notification>,
    driver: AbortOnDrop,
}

struct AbortOnDrop(Option<AbortHandle>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl DatabaseSession {
    /// Starts a session over a new connection.
    pub(super) async fn begin<S, T>(
        client: Client,
        connection: Connection<S, T>,
        facts: Arc<SessionFacts>,
    ) -> Result<Self, ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: TlsStream + Unpin + Send + 'static,
    {
        let (sender, notifications) = unbounded_channel();
        let driver = AbortOnDrop(Some(tokio::spawn(drive(connection, sender)).abort_handle()));
        let connection = AsyncPgConnection::try_from(client).await?;
        Ok(Self { connection, facts, notifications, driver })
    }

    /// Returns the connection without the session's facts and notifications.
    pub fn into_connection(mut self) -> AsyncPgConnection {
        // The driver ends when the connection is closed, so it need not be aborted.
        self.driver.0 = None;
        self.connection
    }
}

/// Processes a connection's messages until it is closed.
async fn drive<S, T>(mut connection: Connection<S, T>, notifications: UnboundedSender<Notification>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: TlsStream + Unpin,
{
    // An error ends the connection. Pending requests then fail with it.
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notification(notification) = message {
            let _ = notifications.send(notification);
        }
    }
}

impl Deref for DatabaseSession {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl DerefMut for DatabaseSession {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}
