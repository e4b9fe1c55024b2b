//! Failed attempts at deferred events.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{self, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::domain::ids::EventId;
use crate::error::{Error, Result};
use crate::storage::statement::{Binder, FixedStatement, Prepared};

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Another attempt after this pause.
    Retry(Duration),
    /// The event becomes a dead letter.
    GiveUp {
        /// Whether later events of the subject wait.
        blocks_subject: bool,
    },
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The number of the attempt, starting at 1.
    pub attempt: i32,
    pub after: AfterFailure,
    /// The code of the error.
    pub error_type: String,
    pub error_message: String,
}

impl Failure {
    pub fn new(attempt: i32, after: AfterFailure, error: &Error) -> Self {
        let (error_type, error_message) = error.recorded();
        Self { attempt, after, error_type, error_message }
    }
}

struct RecordFailure {
    consumer: String,
    event_id: Uuid,
    attempt: i32,
    pause_ms: Option<i64>,
    blocks_subject: bool,
    error_type: String,
    error_message: String,
}

impl FixedStatement for RecordFailure {
    const NAME: &'static str = "record_event_failure";
    const SQL: &'static str = "\
        WITH input AS (SELECT ?::text AS consumer, ?::uuid AS event_id, ?::integer AS attempt, ?::bigint AS pause_ms, ?::boolean AS blocks_subject, \
            ?::text AS error_type, ?::text AS error_message) \
        UPDATE deferred_events d SET attempts = i.attempt, error_type = i.error_type, error_message = i.error_message, \
            next_attempt_at = clock_timestamp() + i.pause_ms * interval '1 millisecond', \
            dead_since = CASE WHEN i.pause_ms IS NULL THEN clock_timestamp() END, blocks_subject = i.blocks_subject, \
            copied_at = NULL \
        FROM input i WHERE d.consumer = i.consumer AND d.event_id = i.event_id AND d.dead_since IS NULL";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<Text, _>(&self.consumer)?;
        binder.bind::<sql_types::Uuid, _>(&self.event_id)?;
        binder.bind::<sql_types::Integer, _>(&self.attempt)?;
        binder.bind::<sql_types::Nullable<BigInt>, _>(&self.pause_ms)?;
        binder.bind::<sql_types::Bool, _>(&self.blocks_subject)?;
        binder.bind::<Text, _>(&self.error_type)?;
        binder.bind::<Text, _>(&self.error_message)
    }
}

/// Records a failed attempt at a deferred event.
pub async fn record_failure(
    connection: &mut AsyncPgConnection,
    consumer: &str,
    event_id: EventId,
    failure: Failure,
) -> Result<()> {
    let Failure { attempt, after, error_type, error_message } = failure;
    let (pause_ms, blocks_subject) = match after {
        AfterFailure::Retry(pause) => (Some(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)), true),
        AfterFailure::GiveUp { blocks_subject } => (None, blocks_subject),
    };
    let event_id = event_id.as_uuid();
    let consumer = consumer.to_owned();
    let statement =
        RecordFailure { consumer, event_id, attempt, pause_ms, blocks_subject, error_type, error_message };
    Prepared(statement).execute(connection).await?;
    Ok(())
}
