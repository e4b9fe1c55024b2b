//! Sessions of the web console.
//!
//! The refresh token is in a cookie that scripts cannot read. A reload of the page therefore keeps the session, and a
//! script injected into the page cannot steal the token. The access token is in the response, and the console keeps it
//! in memory.
//!
//! Browsers send the cookie only to the paths of this module, and only the refresh is authenticated by it. Two measures
//! protect against requests that another site makes the browser send (CSRF): the cookie is `SameSite=Strict`, and
//! starting or refreshing a session requires the server's own `Origin`.

use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

use super::login::{self, LoginRequest};
use crate::accounts::{ChangeOrigin, TokenPair};
use crate::error::{Error, PublicMessage};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::cross_origin::is_own_page;
use crate::http::problem::HandlerResult;

/// The name of the cookie. Browsers accept a name with the prefix `__Secure-` only if the cookie is `Secure`.
const COOKIE: &str = "__Secure-aval-session";

/// The only paths that receive the cookie.
const PATH: &str = "/api/v1/auth/browser-session";

/// The access token of a browser's session. The refresh token is in a cookie.
#[derive(Serialize, ToSchema)]
pub struct BrowserSession {
    /// The access token, for the header `Authorization: Bearer …`.
    #[schema(example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.abc")]
    access_token: String,
    /// Always `Bearer`.
    #[schema(value_type = crate::http::schemas::TokenType, example = "Bearer")]
    token_type: &'static str,
    /// Lifetime of the access token in seconds.
    #[schema(example = 3600)]
    expires_in: u64,
}

/// Starts a session of a browser.
///
/// Like `POST /api/v1/auth/login`, but the refresh token is set as a cookie that scripts cannot read. Only for pages of
/// this server; other clients use `login`.
#[utoipa::path(
    post,
    path = "/api/v1/auth/browser-session",
    operation_id = "begin_browser_session",
    tag = "accounts",
    request_body(content = LoginRequest, example = json!({"username": "ana.lopez", "password": "correct horse battery"})),
    responses(
        (status = 200, description = "The access token of the session", body = BrowserSession,
            headers(("Set-Cookie" = String, description = "The refresh token"))),
        (status = 401, description = "No enabled account has this username and password"),
        (status = 403, description = "The request does not come from a page of this server"),
    ),
)]
pub(in crate::http) async fn begin(
    request: HttpRequest,
    state: HttpState,
    origin: ChangeOrigin,
    body: JsonObject,
) -> HandlerResult {
    let credentials = LoginRequest::read(body.members()?)?;
    check_origin(&request)?;
    Ok(answer(&login::authenticate(&request, &state, &origin, credentials).await?))
}

/// Refreshes the session of a browser.
///
/// Like `POST /api/v1/auth/refresh`, with the refresh token in the cookie.
#[utoipa::path(
    post,
    path = "/api/v1/auth/browser-session/refresh",
    operation_id = "refresh_browser_session",
    tag = "accounts",
    responses(
        (status = 200, description = "A new access token of the session", body = BrowserSession,
            headers(("Set-Cookie" = String, description = "The new refresh token"))),
        (status = 401, description = "There is no cookie, or its token is invalid, expired or revoked"),
        (status = 403, description = "The request does not come from a page of this server"),
    ),
)]
pub(in crate::http) async fn refresh(
    request: HttpRequest,
    state: HttpState,
    origin: ChangeOrigin,
) -> HandlerResult {
    check_origin(&request)?;
    let missing = || Error::Unauthenticated(PublicMessage::new("The browser has no session."));
    let cookie = request.cookie(COOKIE).ok_or_else(missing)?;
    Ok(answer(&state.accounts.refresh(cookie.value(), &origin).await?))
}

/// Ends the session of a browser and deletes its cookie.
///
/// Like `POST /api/v1/auth/logout`.
#[utoipa::path(
    delete,
    path = "/api/v1/auth/browser-session",
    operation_id = "end_browser_session",
    tag = "accounts",
    responses(
        (status = 204, description = "Session ended",
            headers(("Set-Cookie" = String, description = "Deletes the refresh token"))),
    ),
)]
pub(in crate::http) async fn end(
    state: HttpState,
    principal: Principal,
    origin: ChangeOrigin,
) -> HandlerResult {
    state.accounts.logout(&principal, &origin).await?;
    Ok(without_cookie())
}

/// The response to the end of a browser's session, which deletes its cookie.
pub(super) fn without_cookie() -> HttpResponse {
    HttpResponse::NoContent().cookie(cookie("", CookieAge::ZERO)).finish()
}

fn check_origin(request: &HttpRequest) -> Result<(), Error> {
    if is_own_page(request.headers()) {
        return Ok(());
    }
    Err(Error::Forbidden(PublicMessage::new("Only pages of this server may use a browser session.")))
}

fn answer(pair: &TokenPair) -> HttpResponse {
    let age = CookieAge::try_from(pair.refresh_ttl).unwrap_or(CookieAge::ZERO);
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .cookie(cookie(pair.refresh_token.expose_secret(), age))
        .json(BrowserSession {
            access_token: pair.access_token.expose_secret().to_owned(),
            token_type: "Bearer",
            expires_in: pair.access_ttl.as_secs(),
        })
}

fn cookie(value: &str, age: CookieAge) -> Cookie<'_> {
    Cookie::build(COOKIE, value)
        .path(PATH)
        .max_age(age)
        .http_only(true)
        .secure(true)
        .same_site(SameSite::Strict)
        .finish()
}
