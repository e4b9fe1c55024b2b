//! Tickets that open one WebSocket each.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::schema::ws_tickets;
use crate::error::Result;

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = ws_tickets, check_for_backend(diesel::pg::Pg))]
pub struct WsTicket {
    /// SHA-256 of the ticket.
    pub ticket_hash: Vec<u8>,
    /// The person that it is for.
    pub user_id: Option<Uuid>,
    /// What that person's access tokens carried.
    pub token_version: Option<i64>,
    /// The API key that it is for.
    pub api_key_id: Option<Uuid>,
    /// Until when the WebSocket may stay.
    pub session_until: Option<DateTime<Utc>>,
    /// Until when it opens one.
    pub expires_at: DateTime<Utc>,
}

/// Stores a ticket.
pub async fn insert(connection: &mut AsyncPgConnection, ticket: &WsTicket) -> Result<()> {
    diesel::insert_into(ws_tickets::table).values(ticket).execute(connection).await?;
    Ok(())
}

/// Takes a ticket away, so that nobody else can use it; `None` when there is none.
pub async fn take(connection: &mut AsyncPgConnection, ticket_hash: &[u8]) -> Result<Option<WsTicket>> {
    let taken = diesel::delete(ws_tickets::table.filter(ws_tickets::ticket_hash.eq(ticket_hash)))
        .returning(WsTicket::as_returning());
    Ok(taken.get_result(connection).await.optional()?)
}

/// Deletes tickets that nobody used in time.
pub async fn delete_expired(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> Result<usize> {
    let expired = ws_tickets::table.filter(ws_tickets::expires_at.le(now));
    Ok(diesel::delete(expired).execute(connection).await?)
}
