//! Reading events and acting on consumers from the command line. The commands work on the database, so they do not need
//! a running instance that serves requests.

use std::ops::ControlFlow;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::events::envelope::Envelope;
use crate::startup::StartedDatabase;
use crate::storage::consumers::dead_letters;
use crate::storage::{connect, outbox, transaction};

use crate::events::consumers::operators;
pub use crate::events::consumers::operators::{
    ActOnDeadLetters, Acted, DeadLetterAction, EventDeadLetter, EventDeadLetterFilter, Operator, Rewind,
    Rewound,
};
pub use crate::events::consumers::type_filter::TypeFilter;

/// The account in security events.
const OPERATOR: &str = "system:operator";
/// The number of events per read.
const PAGE: u32 = 500;
/// The pause between two reads at the end of the sequence.
const POLL: Duration = Duration::from_millis(500);

/// Events of a running or configured database.
pub struct Events {
    connection: AsyncPgConnection,
    clock: Clock,
}

/// Which events [`Events::tail`] reads.
#[derive(Debug, Clone)]
pub struct Tail {
    /// Start after this offset; `None` for the end of the sequence.
    pub after: Option<i64>,
    pub types: TypeFilter,
    pub subject: Option<Uuid>,
    /// Whether to wait for further events at the end.
    pub follow: bool,
}

impl Events {
    /// Connects to the configured database, or to the private one of a running instance.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is no such database or it is unreachable.
    pub async fn open(settings: &Settings, clock: &Clock) -> Result<Self> {
        let connection = connect::connect(StartedDatabase::running(settings)?.url()).await?;
        Ok(Self { connection, clock: clock.clone() })
    }

    /// Passes events to `print` in order, as CloudEvents, until it breaks or, without `follow`, until the end.
    ///
    /// # Errors
    /// [`Error::EventsExpired`] if events after the offset are no longer available; the errors of `print`.
    pub async fn tail(
        &mut self,
        wanted: &Tail,
        mut print: impl FnMut(&RawValue) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let end = outbox::position(&mut self.connection).await?;
        let mut offset = wanted.after.unwrap_or(end.offset);
        let oldest = outbox::oldest_offset(&mut self.connection).await?;
        if offset < oldest.unwrap_or(end.offset + 1) - 1 {
            return Err(Error::EventsExpired { oldest_offset: oldest });
        }
        loop {
            let epoch = outbox::position(&mut self.connection).await?.epoch;
            let found = outbox::read_after(&mut self.connection, offset, PAGE).await?;
            let is_last = found.len() < PAGE as usize;
            for event in found.into_iter().map(Envelope::from) {
                offset = event.offset;
                let is_wanted = wanted.types.contains(&event.event_type)
                    && wanted.subject.is_none_or(|subject| subject == event.subject);
                if is_wanted {
                    let json = String::from_utf8(event.to_json(epoch)?).map_err(Error::internal)?;
                    let json = RawValue::from_string(json).map_err(Error::internal)?;
                    if print(&json)?.is_break() {
                        return Ok(());
                    }
                }
            }
            match (is_last, wanted.follow) {
                (false, _) => {}
                (true, true) => tokio::time::sleep(POLL).await,
                (true, false) => return Ok(()),
            }
        }
    }

    /// Makes a consumer handle events again.
    ///
    /// # Errors
    /// As [`operators::rewind`].
    pub async fn replay(&mut self, wanted: &Rewind, reason: String) -> Result<Rewound> {
        let (clock, operator) = (self.clock.clone(), operator(reason));
        transaction::once(&mut self.connection, async |connection| {
            operators::rewind(connection, (None, &clock), wanted, &operator).await
        })
        .await
    }

    /// The newest dead letters.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn dead_letters(
        &mut self,
        filter: &EventDeadLetterFilter,
        limit: i64,
    ) -> Result<Vec<EventDeadLetter>> {
        dead_letters::list_page(&mut self.connection, filter, None, limit).await
    }

    /// Replays or skips dead letters.
    ///
    /// # Errors
    /// As [`operators::act`].
    pub async fn act(&mut self, wanted: &ActOnDeadLetters, reason: String) -> Result<Acted> {
        let (clock, operator) = (self.clock.clone(), operator(reason));
        transaction::once(&mut self.connection, async |connection| {
            operators::act(connection, (None, &clock), wanted, &operator).await
        })
        .await
    }
}

fn operator(reason: String) -> Operator {
    Operator { account: OPERATOR.to_owned(), reason, request: None }
}
