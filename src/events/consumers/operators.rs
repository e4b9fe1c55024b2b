//! What operators can see and do: the state of the consumers, dead letters, and replay from an offset.
//!
//! Actions lock the partitions of the consumer, so they do not interfere with its instances. Each is recorded as a security
//! event in its own transaction.

use std::collections::BTreeMap;

use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Clock;
use crate::error::{Error, PublicMessage, Result};
use crate::resources::Resources;
use crate::storage::consumers::{dead_letters, overview};
use crate::storage::outbox;
use crate::storage::seal::KeyRing;
use crate::storage::security_events::{self, SecurityEvent};
use crate::storage::transaction::{self, Abort};

pub use crate::storage::consumers::dead_letters::{EventDeadLetter, EventDeadLetterFilter};
pub use crate::storage::consumers::overview::{ConsumerLag, PartitionState};

/// Who acts, and why.
#[derive(Debug, Clone)]
pub struct Operator {
    pub account: String,
    pub reason: String,
    /// `None` for an operator on the machine.
    pub request: Option<OperatorRequest>,
}

/// The request of an action.
#[derive(Debug, Clone)]
pub struct OperatorRequest {
    pub request_id: String,
    pub address: Option<String>,
}

/// What an operator does with dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterAction {
    /// The events are handled again, with new attempts.
    Replay,
    /// The dead letters are removed as if the events had been handled.
    Skip,
}

impl DeadLetterAction {
    const fn security_event(self) -> SecurityEvent {
        match self {
            Self::Replay => SecurityEvent::DeadLettersReplayed,
            Self::Skip => SecurityEvent::DeadLettersSkipped,
        }
    }
}

/// An action on the oldest dead letters that a filter selects.
#[derive(Debug, Clone)]
pub struct ActOnDeadLetters {
    pub action: DeadLetterAction,
    pub filter: EventDeadLetterFilter,
    /// The maximum number of dead letters.
    pub limit: i64,
    /// Whether to only count the dead letters.
    pub dry_run: bool,
}

/// The result of an action on dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acted {
    /// The number of selected dead letters, up to the limit.
    pub matched: usize,
    /// The number of changed dead letters; 0 in a dry run.
    pub changed: usize,
    /// Whether the filter selects more dead letters than the limit.
    pub more: bool,
}

/// Replays or skips dead letters in the caller's transaction.
///
/// # Errors
/// If the database fails.
pub async fn act(
    connection: &mut AsyncPgConnection,
    (keys, clock): (Option<&KeyRing>, &Clock),
    wanted: &ActOnDeadLetters,
    operator: &Operator,
) -> Result<Acted, Abort> {
    let mut letters =
        dead_letters::oldest(connection, &wanted.filter, wanted.limit.saturating_add(1)).await?;
    let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let more = letters.len() > limit;
    letters.truncate(limit);
    let mut acted = Acted { matched: letters.len(), changed: 0, more };
    if wanted.dry_run || letters.is_empty() {
        return Ok(acted);
    }
    set_origin(connection, (keys, clock), operator).await?;
    let mut by_consumer: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    for letter in &letters {
        by_consumer.entry(&letter.consumer).or_default().push(letter.id);
    }
    for (consumer, ids) in &by_consumer {
        dead_letters::lock_consumer(connection, consumer).await?;
        acted.changed += match wanted.action {
            DeadLetterAction::Replay => dead_letters::replay(connection, consumer, ids).await?,
            DeadLetterAction::Skip => dead_letters::skip(connection, consumer, ids).await?,
        };
    }
    let consumers: Vec<&&str> = by_consumer.keys().collect();
    let detail = json!({ "reason": operator.reason, "consumers": consumers, "dead_letters": acted.changed,
        "dead_letter_id": wanted.filter.id });
    record(connection, wanted.action.security_event(), operator, detail).await?;
    Ok(acted)
}

/// The result of a replay from an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewound {
    /// The number of events after the offset that the consumer had handled, and that it handles again; `None` in a dry
    /// run.
    pub handled: Option<usize>,
    /// The number of published events of all types from the offset on.
    pub events: i64,
}

/// A replay of a consumer from an offset.
#[derive(Debug, Clone)]
pub struct Rewind {
    pub consumer: String,
    /// The first event to handle again.
    pub from_offset: i64,
    /// Whether to only check the request and count the events.
    pub dry_run: bool,
}

/// Makes a consumer handle all events from an offset on again, in the caller's transaction. The effects happen again.
/// Stored dead letters and deferred events from the offset on are removed, because their events are read again.
///
/// # Errors
/// [`Error::NotFound`] if there is no such consumer; [`Error::EventsExpired`] if the outbox no longer contains the event;
/// [`Error::Conflict`] if no event with this offset was published.
pub async fn rewind(
    connection: &mut AsyncPgConnection,
    (keys, clock): (Option<&KeyRing>, &Clock),
    wanted: &Rewind,
    operator: &Operator,
) -> Result<Rewound, Abort> {
    dead_letters::lock_consumer(connection, &wanted.consumer).await?;
    let end = outbox::position(connection).await?.offset;
    let oldest = outbox::oldest_offset(connection).await?.unwrap_or(end + 1);
    if wanted.from_offset > end {
        let text = format!("The last published event has the offset {end}.");
        return Err(Error::Conflict(PublicMessage::new(text)).into());
    }
    if wanted.from_offset < oldest {
        return Err(Error::EventsExpired { oldest_offset: Some(oldest) }.into());
    }
    let events = end - wanted.from_offset + 1;
    if wanted.dry_run {
        return Ok(Rewound { handled: None, events });
    }
    set_origin(connection, (keys, clock), operator).await?;
    let handled = dead_letters::rewind(connection, &wanted.consumer, wanted.from_offset - 1).await?;
    let detail = json!({ "reason": operator.reason, "consumer": wanted.consumer, "from_offset": wanted.from_offset,
        "handled_events": handled });
    record(connection, SecurityEvent::ConsumerReplayed, operator, detail).await?;
    Ok(Rewound { handled: Some(handled), events })
}

/// States who causes the events and security events of the transaction.
async fn set_origin(
    connection: &mut AsyncPgConnection,
    (keys, clock): (Option<&KeyRing>, &Clock),
    operator: &Operator,
) -> Result<()> {
    let Some((request, keys)) = operator.request.as_ref().zip(keys) else { return Ok(()) };
    let (address, request_id) = (request.address.as_deref(), Some(request.request_id.as_str()));
    let actor = Some(operator.account.as_str());
    security_events::set_origin(connection, keys, clock.new_uuid(), actor, address, request_id).await
}

async fn record(
    connection: &mut AsyncPgConnection,
    event: SecurityEvent,
    operator: &Operator,
    detail: Value,
) -> Result<()> {
    security_events::record(connection, event, Some(operator.account.as_str()), None, detail).await
}

/// [`act`] in a transaction of its own, for a request.
///
/// # Errors
/// As [`act`].
pub async fn act_on_dead_letters(
    resources: &Resources,
    wanted: &ActOnDeadLetters,
    operator: &Operator,
) -> Result<Acted> {
    let Resources { database, logger, clock, .. } = resources;
    let keys = (Some(database.keys()), clock);
    transaction::run(database, logger, "act_on_dead_letters", async |connection| {
        act(connection, keys, wanted, operator).await
    })
    .await
}

/// [`rewind`] in a transaction of its own, for a request.
///
/// # Errors
/// As [`rewind`].
pub async fn replay_consumer(resources: &Resources, wanted: &Rewind, operator: &Operator) -> Result<Rewound> {
    let Resources { database, logger, clock, .. } = resources;
    let keys = (Some(database.keys()), clock);
    transaction::run(database, logger, "replay_consumer", async |connection| {
        rewind(connection, keys, wanted, operator).await
    })
    .await
}

/// Lists dead letters, newest first: at most `limit` that were deferred before `before`.
///
/// # Errors
/// If the database fails.
pub async fn list_dead_letters(
    resources: &Resources,
    filter: &EventDeadLetterFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<EventDeadLetter>> {
    dead_letters::list_page(&mut *resources.database.get().await?, filter, before, limit).await
}

/// Returns a dead letter with the data of its event.
///
/// # Errors
/// [`Error::NotFound`]; any error of the database.
pub async fn get_dead_letter(resources: &Resources, id: Uuid) -> Result<(EventDeadLetter, Value)> {
    dead_letters::get(&mut *resources.database.get().await?, id).await
}

/// Returns how far every consumer is behind, and the partitions of all consumers.
///
/// # Errors
/// If the database fails.
pub async fn overview(resources: &Resources) -> Result<(Vec<ConsumerLag>, Vec<PartitionState>)> {
    let mut connection = resources.database.get().await?;
    let lags = overview::lags(&mut connection).await?;
    Ok((lags, overview::partitions(&mut connection).await?))
}
