//! Opens the sessions of a pool and discards sessions that are no longer usable.

use std::sync::{Arc, Mutex, PoisonError};

use bb8::ManageConnection;
use diesel::result::ConnectionError;
use diesel_async::pooled_connection::PoolableConnection as _;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};

use super::connect::Connector;
use super::describe_connection;
use super::fitness::Fitness;
use super::observer::StatementObserver;
use super::session::DatabaseSession;

/// The reason why no session could be opened; `None` after a success.
pub(super) type Refusal = Arc<Mutex<Option<String>>>;

/// The sessions of a pool.
pub struct DatabaseSessions {
    connector: Connector,
    setup: Arc<str>,
    fitness: Arc<Fitness>,
    observer: Option<StatementObserver>,
    pub(super) refusal: Refusal,
}

impl DatabaseSessions {
    /// Sessions that begin with `setup`, and whose statements `observer` observes.
    pub(super) fn new(connector: Connector, setup: &Arc<str>, observer: Option<StatementObserver>) -> Self {
        let (fitness, refusal) = (Arc::default(), Arc::default());
        Self { connector, setup: Arc::clone(setup), fitness, observer, refusal }
    }

    async fn open(&self) -> std::result::Result<DatabaseSession, ConnectionError> {
        let mut session = self.connector.open(self.fitness.of_new_session()).await?;
        session.notifications.close();
        session.batch_execute(&self.setup).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        if let Some(observer) = &self.observer {
            observer.attach(&mut session);
        }
        Ok(session)
    }
}

impl ManageConnection for DatabaseSessions {
    type Connection = DatabaseSession;
    type Error = ConnectionError;

    async fn connect(&self) -> std::result::Result<DatabaseSession, ConnectionError> {
        let opened = self.open().await;
        let refusal = opened.as_ref().err().map(describe_connection);
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
        opened
    }

    async fn is_valid(&self, session: &mut DatabaseSession) -> std::result::Result<(), ConnectionError> {
        if self.has_broken(session) {
            return Err(ConnectionError::BadConnection("the session is no longer usable".to_owned()));
        }
        session.facts.count_use();
        Ok(())
    }

    fn has_broken(&self, session: &mut DatabaseSession) -> bool {
        std::thread::panicking() || session.facts.is_unfit() || AsyncPgConnection::is_broken(session)
    }
}
