//! Webhook endpoints and their secrets.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::delivery::{Algorithm, DisabledReason};
use crate::error::{Error, Result};
use crate::storage::schema::{webhook_endpoints, webhook_secrets};
use crate::storage::seal::{KeyRing, SealedField};

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhook_endpoints, check_for_backend(diesel::pg::Pg))]
struct EndpointRow {
    id: Uuid,
    url: String,
    description: String,
    event_types: Vec<Option<String>>,
    countries: Vec<Option<String>>,
    ordered: bool,
    disabled_at: Option<DateTime<Utc>>,
    disabled_reason: Option<String>,
    failing_since: Option<DateTime<Utc>>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A webhook endpoint without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub id: Uuid,
    pub url: String,
    pub description: String,
    /// Type names, families such as `application.*`, or `*`.
    pub event_types: Vec<String>,
    /// The codes of the countries whose events are sent; empty for all events.
    pub countries: Vec<String>,
    /// Whether deliveries about a subject wait for the earlier ones.
    pub ordered: bool,
    pub disabled_at: Option<DateTime<Utc>>,
    /// The name of a [`DisabledReason`].
    pub disabled_reason: Option<String>,
    /// The first failed attempt after the last successful one.
    pub failing_since: Option<DateTime<Utc>>,
    /// The account that created the endpoint.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Endpoint {
    pub fn is_enabled(&self) -> bool {
        self.disabled_at.is_none()
    }
}

impl From<EndpointRow> for Endpoint {
    fn from(row: EndpointRow) -> Self {
        Self {
            id: row.id,
            url: row.url,
            description: row.description,
            event_types: row.event_types.into_iter().flatten().collect(),
            countries: row.countries.into_iter().flatten().collect(),
            ordered: row.ordered,
            disabled_at: row.disabled_at,
            disabled_reason: row.disabled_reason,
            failing_since: row.failing_since,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// An endpoint to insert.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = webhook_endpoints, check_for_backend(diesel::pg::Pg))]
pub struct NewEndpoint<'a> {
    pub id: Uuid,
    pub url: &'a str,
    pub description: &'a str,
    pub event_types: &'a [String],
    pub countries: &'a [String],
    pub ordered: bool,
    /// Set if the endpoint is created disabled.
    pub disabled_at: Option<DateTime<Utc>>,
    pub disabled_reason: Option<&'static str>,
    /// The user or API key that creates the endpoint.
    pub owner_id: Option<Uuid>,
    pub created_by: &'a str,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A change of an endpoint. Members that are `None` keep their values.
#[derive(Debug, Clone, Default, AsChangeset)]
#[diesel(table_name = webhook_endpoints)]
pub struct EndpointChange {
    pub url: Option<String>,
    pub description: Option<String>,
    pub event_types: Option<Vec<String>>,
    pub countries: Option<Vec<String>>,
    pub ordered: Option<bool>,
    pub disabled_at: Option<Option<DateTime<Utc>>>,
    pub disabled_reason: Option<Option<String>>,
    pub failing_since: Option<Option<DateTime<Utc>>>,
    pub updated_at: Option<DateTime<Utc>>,
}

impl EndpointChange {
    /// Disables an endpoint.
    pub fn disable(reason: DisabledReason, now: DateTime<Utc>) -> Self {
        Self {
            disabled_at: Some(Some(now)),
            disabled_reason: Some(Some(reason.as_str().to_owned())),
            ..Self::default()
        }
    }

    /// Enables an endpoint. The period of failures begins again.
    pub fn enable() -> Self {
        Self {
            disabled_at: Some(None),
            disabled_reason: Some(None),
            failing_since: Some(None),
            ..Self::default()
        }
    }
}

/// Inserts an endpoint.
pub async fn insert(connection: &mut AsyncPgConnection, endpoint: &NewEndpoint<'_>) -> Result<Endpoint> {
    let row: EndpointRow = diesel::insert_into(webhook_endpoints::table)
        .values(endpoint)
        .returning(EndpointRow::as_returning())
        .get_result(connection)
        .await?;
    Ok(row.into())
}

/// The number of endpoints.
pub async fn count(connection: &mut AsyncPgConnection) -> Result<i64> {
    Ok(webhook_endpoints::table.count().get_result(connection).await?)
}

/// Finds an endpoint.
pub async fn find(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<Endpoint>> {
    let query = webhook_endpoints::table.find(id).select(EndpointRow::as_select());
    let row: Option<EndpointRow> = query.first(connection).await.optional()?;
    Ok(row.map(Endpoint::from))
}

/// Finds an endpoint and locks it until the end of the transaction.
pub async fn lock(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<Endpoint>> {
    let query = webhook_endpoints::table.find(id).select(EndpointRow::as_select()).for_update();
    let row: Option<EndpointRow> = query.first(connection).await.optional()?;
    Ok(row.map(Endpoint::from))
}

/// One page of the endpoints, newest first, starting after the endpoint `after`.
pub async fn list_page(
    connection: &mut AsyncPgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Endpoint>> {
    let mut query = webhook_endpoints::table
        .select(EndpointRow::as_select())
        .order(webhook_endpoints::id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(webhook_endpoints::id.lt(after));
    }
    let rows: Vec<EndpointRow> = query.load(connection).await?;
    Ok(rows.into_iter().map(Endpoint::from).collect())
}

/// Changes an endpoint; `None` if it does not exist.
pub async fn change(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    change: &EndpointChange,
) -> Result<Option<Endpoint>> {
    let row: Option<EndpointRow> = diesel::update(webhook_endpoints::table.find(id))
        .set(change)
        .returning(EndpointRow::as_returning())
        .get_result(connection)
        .await
        .optional()?;
    Ok(row.map(Endpoint::from))
}

/// Deletes an endpoint with its secrets and returns whether it existed. Its deliveries stay until they expire.
pub async fn delete(connection: &mut AsyncPgConnection, id: Uuid) -> Result<bool> {
    Ok(diesel::delete(webhook_endpoints::table.find(id)).execute(connection).await? > 0)
}

/// A secret of an endpoint.
#[derive(Clone)]
pub struct EndpointSecret {
    pub id: Uuid,
    pub algorithm: Algorithm,
    /// The HMAC key, or the seed of the ed25519 key pair.
    pub secret: Zeroizing<Vec<u8>>,
    /// The ed25519 public key in its text form.
    pub public_key: Option<String>,
    pub created_at: DateTime<Utc>,
    /// `None` for the current secret.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Adds the current secret of an endpoint. The previous current secret expires at `previous_until`.
///
/// # Errors
/// If the secret cannot be sealed or the database fails.
pub async fn add_secret(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    endpoint: Uuid,
    secret: &EndpointSecret,
    previous_until: DateTime<Utc>,
) -> Result<()> {
    let current = webhook_secrets::table
        .filter(webhook_secrets::endpoint_id.eq(endpoint))
        .filter(webhook_secrets::expires_at.is_null());
    diesel::update(current)
        .set(webhook_secrets::expires_at.eq(Some(previous_until)))
        .execute(connection)
        .await?;
    let sealed = keys.seal_bytes(SealedField::WebhookSecret, secret.id, &secret.secret)?;
    diesel::insert_into(webhook_secrets::table)
        .values((
            webhook_secrets::id.eq(secret.id),
            webhook_secrets::endpoint_id.eq(endpoint),
            webhook_secrets::algorithm.eq(secret.algorithm.as_str()),
            webhook_secrets::secret.eq(sealed),
            webhook_secrets::public_key.eq(&secret.public_key),
            webhook_secrets::created_at.eq(secret.created_at),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// The secrets of an endpoint that have not expired at `now`, the current one first.
///
/// # Errors
/// If a secret cannot be opened, has an algorithm of a newer version, or the database fails.
pub async fn secrets(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    endpoint: Uuid,
    now: DateTime<Utc>,
) -> Result<Vec<EndpointSecret>> {
    type Row = (Uuid, String, Vec<u8>, Option<String>, DateTime<Utc>, Option<DateTime<Utc>>);
    let rows: Vec<Row> = webhook_secrets::table
        .select((
            webhook_secrets::id,
            webhook_secrets::algorithm,
            webhook_secrets::secret,
            webhook_secrets::public_key,
            webhook_secrets::created_at,
            webhook_secrets::expires_at,
        ))
        .filter(webhook_secrets::endpoint_id.eq(endpoint))
        .filter(webhook_secrets::expires_at.is_null().or(webhook_secrets::expires_at.gt(now)))
        .order(webhook_secrets::id.desc())
        .load(connection)
        .await?;
    let open = |(id, algorithm, sealed, public_key, created_at, expires_at): Row| {
        let unknown = |_unknown| Error::unknown_label("signature algorithm", &algorithm);
        Ok(EndpointSecret {
            id,
            algorithm: algorithm.parse().map_err(unknown)?,
            secret: keys.open_bytes(SealedField::WebhookSecret, id, &sealed)?.into(),
            public_key,
            created_at,
            expires_at,
        })
    };
    rows.into_iter().map(open).collect()
}
