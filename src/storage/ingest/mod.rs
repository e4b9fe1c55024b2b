//! The events that clients send at volume, and the refused ones.
//!
//! `ingested_events` has a partition for each day of `occurred_at`, which retention drops as a whole ([`days`]). Each day is
//! split by hash of `user_id`, so the events of a user and a day are in one table. The primary key `(user_id, occurred_at,
//! id)` recognises repeated events for as long as the day is kept ([`mod@insert`]). Nothing else is indexed, and there are no
//! triggers: at this volume, every index and trigger is a large part of the cost.
//!
//! Rows are inserted in the order of their keys, so two transactions cannot deadlock.

pub mod days;
pub mod dead_letters;
mod insert;
mod list;
mod shared_text;

pub use self::insert::{EventKey, NewIngestedEvent, Stored, insert, matching, store};
pub use self::list::{EventListFilter, IngestedEvent, list_page};
pub use self::shared_text::SharedText;
