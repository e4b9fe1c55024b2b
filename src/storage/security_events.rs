//! Security events: changes to accounts and API keys, sign-ins and failed sign-ins. The table is append-only.
//!
//! Triggers record changes to accounts and keys in the transaction of the change, including changes made with plain
//! SQL. Other events ([`SecurityEvent`]) are recorded by [`record`]. Both use the SQL function `record_security_event`,
//! which reads actor, address and request from the transaction's setting `aval.origin` ([`set_origin`]).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};
use uuid::Uuid;

use super::schema::security_events;
use super::seal::{KeyRing, SealedField};
use crate::error::{Error, Result};

/// An event that changes no account or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityEvent {
    LoginSucceeded,
    /// A wrong password.
    LoginFailed,
    /// A session was ended by its account.
    LoggedOut,
    /// Sessions of an account were ended by the account or an admin.
    SessionsEnded,
    /// A refresh token was reused after its grace period.
    RefreshTokenReused,
    /// An operator created an access token with the command `aval token`.
    AccessTokenIssued,
    /// An admin changed the name or the e-mail address of the person with an account.
    ContactChanged,
    /// An operator changed the log level of an instance.
    LogLevelChanged,
    /// An operator replayed dead letters of consumers.
    DeadLettersReplayed,
    /// An operator skipped dead letters of consumers.
    DeadLettersSkipped,
    /// An operator replayed events to a consumer.
    ConsumerReplayed,
    /// Deliveries to a webhook endpoint were repeated.
    WebhooksRepeated,
    /// A test message was sent to a webhook endpoint.
    WebhookTested,
}

impl SecurityEvent {
    /// The name in the table and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LoginSucceeded => "login_succeeded",
            Self::LoginFailed => "login_failed",
            Self::LoggedOut => "logged_out",
            Self::SessionsEnded => "sessions_ended",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::AccessTokenIssued => "access_token_issued",
            Self::ContactChanged => "contact_changed",
            Self::LogLevelChanged => "log_level_changed",
            Self::DeadLettersReplayed => "dead_letters_replayed",
            Self::DeadLettersSkipped => "dead_letters_skipped",
            Self::ConsumerReplayed => "consumer_replayed",
            Self::WebhooksRepeated => "webhooks_repeated",
            Self::WebhookTested => "webhook_tested",
        }
    }
}

diesel::define_sql_function! {
    /// Sets a configuration parameter: until the end of the transaction if `is_local`, otherwise for the session.
    fn set_config(name: Text, value: Text, is_local: Bool) -> Text;
}

diesel::define_sql_function! {
    /// Deletes events past their retention and returns how many it deleted.
    fn delete_expired_security_events(older_than: Timestamptz, at_most: BigInt) -> BigInt;
}

/// Sets the origin of the transaction's events. `id` must be new and random.
///
/// # Errors
/// If the address cannot be sealed or the statement fails.
pub async fn set_origin(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    id: Uuid,
    actor: Option<&str>,
    address: Option<&str>,
    request_id: Option<&str>,
) -> Result<()> {
    let sealed = address.map(|text| keys.seal(SealedField::SecurityEventAddress, id.as_bytes(), text));
    let sealed = sealed.transpose()?.map(|envelope| hex(&envelope));
    let origin = json!({ "id": id, "actor": actor, "address": sealed, "request_id": request_id });
    set_local(connection, "aval.origin", &origin.to_string()).await
}

/// Keeps the sessions of the account when its password hash changes later in the transaction. Use it only when the
/// password stays the same.
pub async fn keep_sessions_of(connection: &mut AsyncPgConnection, user_id: Uuid) -> Result<()> {
    set_local(connection, "aval.same_password", &user_id.to_string()).await
}

async fn set_local(connection: &mut AsyncPgConnection, name: &str, value: &str) -> Result<()> {
    let set = diesel::select(set_config(name, value, true));
    set.get_result::<String>(connection).await?;
    Ok(())
}

/// Records an event about the account or key `subject`.
pub async fn record(
    connection: &mut AsyncPgConnection,
    event: SecurityEvent,
    actor: Option<&str>,
    subject: Option<&str>,
    detail: Value,
) -> Result<()> {
    diesel::sql_query("SELECT record_security_event($1, $2, $3, $4)")
        .bind::<Text, _>(event.as_str())
        .bind::<Nullable<Text>, _>(actor)
        .bind::<Nullable<Text>, _>(subject)
        .bind::<Jsonb, _>(detail)
        .execute(connection)
        .await?;
    Ok(())
}

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = security_events, check_for_backend(diesel::pg::Pg))]
pub struct RecordedEvent {
    /// A version 7 UUID with the event's time.
    pub id: Uuid,
    /// The kind of event. Newer versions may have more kinds.
    pub kind: String,
    pub actor: Option<String>,
    /// The account or key that the event is about.
    pub subject: Option<String>,
    /// Details that depend on the kind.
    pub detail: Value,
    /// The `id` passed to [`set_origin`]. The sealed address is bound to it.
    pub origin_id: Option<Uuid>,
    /// The sealed address of the client.
    pub address: Option<Vec<u8>>,
    pub request_id: Option<String>,
    pub occurred_at: DateTime<Utc>,
}

impl RecordedEvent {
    /// The client's address. Also `None` if the encryption key is missing, so the rest of the event remains readable.
    pub fn open_address(&self, keys: &KeyRing) -> Option<String> {
        let (id, envelope) = self.origin_id.zip(self.address.as_ref())?;
        keys.open(SealedField::SecurityEventAddress, id.as_bytes(), envelope).ok()
    }
}

/// Selects the events of a list. A field that is `None` matches every event.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub kind: Option<String>,
    pub actor: Option<String>,
    /// The account or key that the event is about.
    pub subject: Option<String>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
}

/// One page of the list, newest first, starting after the event `after`.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    filter: &EventFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<RecordedEvent>> {
    let mut query = security_events::table
        .select(RecordedEvent::as_select())
        .order(security_events::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(kind) = &filter.kind {
        query = query.filter(security_events::kind.eq(kind));
    }
    if let Some(actor) = &filter.actor {
        query = query.filter(security_events::actor.eq(actor));
    }
    if let Some(subject) = &filter.subject {
        query = query.filter(security_events::subject.eq(subject));
    }
    if let Some(from) = filter.from {
        query = query.filter(security_events::occurred_at.ge(from));
    }
    if let Some(to) = filter.to {
        query = query.filter(security_events::occurred_at.lt(to));
    }
    if let Some(after) = after {
        query = query.filter(security_events::id.lt(after));
    }
    Ok(query.load(connection).await?)
}

/// Deletes up to `limit` events older than `time` and returns how many it deleted.
pub async fn delete_before(
    connection: &mut AsyncPgConnection,
    time: DateTime<Utc>,
    limit: u32,
) -> Result<usize> {
    let deleted = diesel::select(delete_expired_security_events(time, i64::from(limit)));
    let deleted: i64 = deleted.get_result(connection).await?;
    usize::try_from(deleted).map_err(Error::internal)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
