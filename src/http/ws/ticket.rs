//! `POST /api/v1/ws/tickets`

use actix_web::HttpResponse;
use actix_web::http::header;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::problem::Answer;

/// A ticket that opens one WebSocket.
#[derive(Serialize, ToSchema)]
pub struct TicketView {
    /// For `GET /api/v1/ws?ticket=…`.
    #[schema(example = "Yx1mC0W7Z9fC8mV1qk3u5b8Q2nT4rL6pJ0hG7dSxEzA")]
    ticket: String,
    /// When it stops to open one.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    expires_at: DateTime<Utc>,
}

/// Makes a ticket that opens one WebSocket within seconds.
///
/// It is for clients that cannot send a first message themselves. It is used up by the connection that it opens, which
/// ends when the credential that asked for the ticket does.
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
pub(in crate::http) async fn create(state: HttpState, principal: Principal) -> Answer {
    let (ticket, expires_at) = state.accounts.issue_ticket(&principal).await?;
    let ticket = ticket.expose_secret().to_owned();
    Ok(HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(TicketView { ticket, expires_at }))
}
