//! Single-use tickets that open a WebSocket.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::schema::ws_tickets;
use crate::error::Result;

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = ws_tickets, check_for_backend(diesel::pg::Pg))]
pub struct WsTicket {
    /// SHA-256 of the ticket.
    pub ticket_hash: Vec<u8>,
    /// The user, unless the ticket is for an API key.
    pub user_id: Option<Uuid>,
    /// The user's `token_version` when the ticket was issued. A later change of it invalidates the ticket.
    pub token_version: Option<i64>,
    /// The API key, unless the ticket is for a user.
    pub api_key_id: Option<Uuid>,
    /// When a WebSocket that was opened with the ticket is closed.
    pub session_until: Option<DateTime<Utc>>,
    /// When the ticket expires.
    pub expires_at: DateTime<Utc>,
}

pub async fn insert(connection: &mut AsyncPgConnection, ticket: &WsTicket) -> Result<()> {
    diesel::insert_into(ws_tickets::table).values(ticket).execute(connection).await?;
    Ok(())
}

/// Deletes and returns a ticket, so it can be used only once. Returns `None` if it does not exist.
pub async fn take(connection: &mut AsyncPgConnection, ticket_hash: &[u8]) -> Result<Option<WsTicket>> {
    let taken = diesel::delete(ws_tickets::table.filter(ws_tickets::ticket_hash.eq(ticket_hash)))
        .returning(WsTicket::as_returning());
    Ok(taken.get_result(connection).await.optional()?)
}

pub async fn delete_expired(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> Result<usize> {
    let expired = ws_tickets::table.filter(ws_tickets::expires_at.le(now));
    Ok(diesel::delete(expired).execute(connection).await?)
}
