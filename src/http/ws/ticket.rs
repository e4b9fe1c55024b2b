//! `POST /api/v1/ws/tickets`

use actix_web::HttpResponse;
use actix_web::http::header;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::problem::HandlerResult;

/// A single-use ticket for opening a WebSocket.
#[derive(Serialize, ToSchema)]
pub struct TicketView {
    /// The ticket, for `GET /api/v1/ws?ticket=…`.
    #[schema(example = "Yx1mC0W7Z9fC8mV1qk3u5b8Q2nT4rL6pJ0hG7dSxEzA")]
    ticket: String,
    /// Expiry time of the ticket.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    expires_at: DateTime<Utc>,
}

/// Creates a single-use ticket that opens a WebSocket within seconds.
///
/// Tickets are for clients that cannot send headers or a first message. The connection ends when the credential that
/// created the ticket expires or is revoked.
#[utoipa::path(
    post,
    path = "/api/v1/ws/tickets",
    operation_id = "create_websocket_ticket",
    tag = "realtime",
    responses(
        (status = 201, description = "The ticket", body = TicketView,
            headers(("Cache-Control" = String, description = "`no-store`"))),
    ),
)]
pub(in crate::http) async fn create(state: HttpState, principal: Principal) -> HandlerResult {
    let (ticket, expires_at) = state.accounts.issue_ticket(&principal).await?;
    let ticket = ticket.expose_secret().to_owned();
    Ok(HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(TicketView { ticket, expires_at }))
}
