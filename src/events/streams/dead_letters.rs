//! Copies the dead letters of consumers to a stream, for other systems.
//!
//! A dead letter is in the database before its event counts as handled. If Redis refuses the copy, the next round tries
//! again. If the process ends between the copy and its record, the dead letter is copied twice, with the same identifier.

use redis::{Value, pipe};
use serde_json::value::RawValue;

use super::PartitionStreams;
use crate::error::Result;
use crate::events::envelope::Envelope;
use crate::redis::Operation;
use crate::storage::consumers::dead_letters::{self, UncopiedDeadLetter};
use crate::storage::outbox;

/// The number of dead letters to copy at a time.
const PAGE: u32 = 100;
/// The approximate number of dead letters that the stream keeps.
const MAX_ENTRIES: u32 = 10_000;

/// Copies all dead letters that are not in the stream yet.
///
/// # Errors
/// If the database or Redis fails.
pub(super) async fn copy(streams: &PartitionStreams) -> Result<()> {
    let database = &streams.inner.database;
    loop {
        let letters = dead_letters::uncopied(&mut *database.get().await?, PAGE).await?;
        if letters.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = letters.iter().map(|letter| letter.id).collect();
        let is_last = letters.len() < PAGE as usize;
        append(streams, letters).await?;
        dead_letters::mark_copied(&mut *database.get().await?, &ids).await?;
        if is_last {
            return Ok(());
        }
    }
}

async fn append(streams: &PartitionStreams, letters: Vec<UncopiedDeadLetter>) -> Result<()> {
    let epoch = streams.inner.database.run(outbox::position).await?.epoch;
    let key = streams.dead_letter_key();
    let mut commands = pipe();
    for letter in letters {
        let (event, _): (Vec<u8>, Option<Box<RawValue>>) =
            Envelope::from(letter.event).to_public_json(epoch)?;
        let add = commands.cmd("XADD").arg(&key).arg("MAXLEN").arg("~").arg(MAX_ENTRIES).arg("*");
        add.arg("id").arg(letter.id.to_string()).arg("consumer").arg(&letter.consumer);
        add.arg("error_type").arg(letter.error_type.unwrap_or_default());
        add.arg("error").arg(letter.error_message.unwrap_or_default());
        add.arg("attempts").arg(letter.attempts).arg("event").arg(event);
    }
    streams.inner.redis.pipe::<Vec<Value>>(Operation::DeadLetterCopy, &commands).await?;
    Ok(())
}
