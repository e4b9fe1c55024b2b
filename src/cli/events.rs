//! `aval events`: prints published events, replays consumers, and handles dead letters of consumers.

use std::io::Write;
use std::ops::ControlFlow;

use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::lines::{Flow, write_line, write_text};
use crate::app::events::{
    ActOnDeadLetters, Acted, DeadLetterAction, EventDeadLetter, EventDeadLetterFilter, Events, Rewind, Tail,
    TypeFilter,
};
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::timestamp;
use crate::error::Result;

/// Prints published events, replays consumers, and lists, replays or skips dead letters of consumers.
#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print events as CloudEvents, one JSON object per line, and wait for further ones
    Tail {
        /// Start after this offset; 0 starts with the first event. By default, only new events are printed
        #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
        after: Option<i64>,
        /// Print only these types, separated by commas; application.* stands for all types of the family
        #[arg(long, value_delimiter = ',')]
        types: Vec<String>,
        /// Print only the events of this subject
        #[arg(long, value_name = "UUID")]
        subject: Option<Uuid>,
        /// End at the last published event
        #[arg(long)]
        no_follow: bool,
    },
    /// Make a consumer handle all events from an offset onward again. The effects of these events happen again
    Replay {
        /// Name of the consumer
        #[arg(long, value_name = "NAME")]
        consumer: String,
        /// Offset of the first event to handle again
        #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(1..))]
        from: i64,
        /// Change nothing, only print the number of events
        #[arg(long)]
        dry_run: bool,
        /// The reason, which is recorded as a security event
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List the dead letters of consumers, newest first, or replay or skip the oldest ones
    DeadLetters {
        /// Only those of this consumer
        #[arg(long, value_name = "NAME")]
        consumer: Option<String>,
        /// Only those of this event type
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
        /// Only those of this subject
        #[arg(long, value_name = "UUID")]
        subject: Option<Uuid>,
        /// Only those with this error code
        #[arg(long, value_name = "CODE")]
        error_type: Option<String>,
        /// Have the events handled again, with new attempts
        #[arg(long, conflicts_with = "skip")]
        replay: bool,
        /// Remove the dead letters as if their events had been handled
        #[arg(long)]
        skip: bool,
        /// The maximum number of dead letters
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Change nothing, only print the number of dead letters
        #[arg(long)]
        dry_run: bool,
        /// The reason, which is recorded as a security event
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Print JSON: one object per dead letter, or one for the result
        #[arg(long)]
        json: bool,
    },
}

/// Runs the subcommand.
///
/// # Errors
/// [`Unavailable`](crate::error::Error::Unavailable) if the database is unreachable; the errors of the actions.
pub async fn run(args: EventsArgs, settings: Settings, clock: Clock, mut output: impl Write) -> Result<()> {
    let mut events = Events::open(&settings, &clock).await?;
    match args.action {
        Action::Tail { after, types, subject, no_follow } => {
            let wanted = Tail { after, types: TypeFilter::of(types), subject, follow: !no_follow };
            let print = |event: &serde_json::value::RawValue| {
                Ok(match write_text(&mut output, event.get())? {
                    Flow::Continue => ControlFlow::Continue(()),
                    Flow::ReaderGone => ControlFlow::Break(()),
                })
            };
            events.tail(&wanted, print).await
        }
        Action::Replay { consumer, from, dry_run, reason, json } => {
            let wanted = Rewind { consumer, from_offset: from, dry_run };
            let done = events.replay(&wanted, reason).await?;
            if json {
                let line = json!({"events": done.events, "handled": done.handled, "dry_run": dry_run});
                return write_line(&mut output, &line).map(drop);
            }
            let text = match done.handled {
                None => format!("{} events would be read again; nothing was changed", done.events),
                Some(handled) => {
                    format!(
                        "{} events will be read again, {handled} of them were handled before",
                        done.events
                    )
                }
            };
            write_text(&mut output, &text).map(drop)
        }
        Action::DeadLetters {
            consumer,
            event_type,
            subject,
            error_type,
            replay,
            skip,
            limit,
            dry_run,
            reason,
            json,
        } => {
            let filter =
                EventDeadLetterFilter { consumer, event_type, subject, error_type, ..Default::default() };
            let limit = i64::from(limit);
            let action = match (replay, skip) {
                (true, _) => DeadLetterAction::Replay,
                (false, true) => DeadLetterAction::Skip,
                (false, false) => {
                    return list(&mut output, json, &events.dead_letters(&filter, limit).await?);
                }
            };
            let wanted = ActOnDeadLetters { action, filter, limit, dry_run };
            let acted = events.act(&wanted, reason).await?;
            report(&mut output, json, dry_run, acted)
        }
    }
}

fn list(output: &mut impl Write, json: bool, letters: &[EventDeadLetter]) -> Result<()> {
    if !json {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["id", "consumer", "type", "subject", "offset", "attempts", "error", "dead since"]);
        for letter in letters {
            table.add_row([
                letter.id.to_string(),
                letter.consumer.clone(),
                letter.event_type.clone(),
                letter.subject.to_string(),
                letter.offset.to_string(),
                letter.attempts.to_string(),
                letter.error_type.clone().unwrap_or_default(),
                letter.dead_since.map(timestamp::text).unwrap_or_default(),
            ]);
        }
        return write_text(output, &table.trim_fmt()).map(drop);
    }
    for letter in letters {
        let line = json!({
            "id": letter.id, "consumer": letter.consumer, "event_id": letter.event_id, "event_type": letter.event_type,
            "subject": letter.subject, "offset": letter.offset, "attempts": letter.attempts,
            "error_type": letter.error_type, "error_message": letter.error_message,
            "blocks_subject": letter.blocks_subject, "dead_since": letter.dead_since.map(timestamp::text),
        });
        if write_line(output, &line)? == Flow::ReaderGone {
            break;
        }
    }
    Ok(())
}

fn report(output: &mut impl Write, json: bool, dry_run: bool, acted: Acted) -> Result<()> {
    let Acted { matched, changed, more } = acted;
    if json {
        let line = json!({"matched": matched, "changed": changed, "more": more, "dry_run": dry_run});
        return write_line(output, &line).map(drop);
    }
    let rest = if more { "; more match, so repeat the command" } else { "" };
    write_text(output, &format!("{matched} dead letters matched, {changed} were changed{rest}")).map(drop)
}
