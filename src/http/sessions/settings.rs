//! `GET` and `PUT /api/v1/auth/me/settings`

use actix_web::HttpResponse;
use chrono_tz::Tz;
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::{Language, OwnSettings, Theme};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::problem::HandlerResult;
use crate::http::request::request_body;
use crate::http::request::values::text;
use crate::json::Refusal;

/// The caller's settings for the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnSettingsView {
    /// The language; `null` means the language of the browser.
    #[schema(value_type = Option<crate::http::schemas::LanguageName>)]
    language: Option<Language>,
    /// The time zone as an IANA name; `null` means the time zone of the browser.
    #[schema(value_type = Option<String>, example = "Europe/Madrid")]
    time_zone: Option<&'static str>,
    /// The colours.
    #[schema(value_type = crate::http::schemas::ThemeName)]
    theme: Theme,
}

impl From<OwnSettings> for OwnSettingsView {
    fn from(settings: OwnSettings) -> Self {
        let OwnSettings { language, time_zone, theme } = settings;
        Self { language, time_zone: time_zone.map(Tz::name), theme }
    }
}

request_body! {
    /// The settings, all of which are replaced.
    pub struct OwnSettingsRequest {
        /// The language. If it is `null` or absent, the language of the browser is used.
        #[schema(value_type = Option<crate::http::schemas::LanguageName>)]
        language: Option<Language> = optional(text(language)),
        /// The time zone as an IANA name. If it is `null` or absent, the time zone of the browser is used.
        #[schema(value_type = Option<String>, example = "Europe/Madrid")]
        time_zone: Option<Tz> = optional(text(time_zone)),
        /// The colours.
        #[schema(value_type = crate::http::schemas::ThemeName)]
        theme: Theme = required(text(theme)),
    }
}

/// Returns the caller's settings for the console.
#[utoipa::path(
    get,
    path = "/api/v1/auth/me/settings",
    operation_id = "get_own_settings",
    tag = "accounts",
    responses((status = 200, description = "The settings", body = OwnSettingsView)),
)]
pub(in crate::http) async fn get(state: HttpState, principal: Principal) -> HandlerResult {
    let settings = state.accounts.own_settings(&principal).await?;
    Ok(HttpResponse::Ok().json(OwnSettingsView::from(settings)))
}

/// Replaces the caller's settings for the console.
#[utoipa::path(
    put,
    path = "/api/v1/auth/me/settings",
    operation_id = "set_own_settings",
    tag = "accounts",
    request_body(
        content = OwnSettingsRequest,
        example = json!({"language": "es", "time_zone": "Europe/Madrid", "theme": "dark"}),
    ),
    responses((status = 200, description = "The settings after the change", body = OwnSettingsView)),
)]
pub(in crate::http) async fn set(state: HttpState, principal: Principal, body: JsonObject) -> HandlerResult {
    let OwnSettingsRequest { language, time_zone, theme } = OwnSettingsRequest::read(body.members()?)?;
    let settings = OwnSettings { language, time_zone, theme };
    state.accounts.set_own_settings(&principal, &settings).await?;
    Ok(HttpResponse::Ok().json(OwnSettingsView::from(settings)))
}

fn language(text: &str) -> Result<Language, Refusal> {
    let names = || Language::ALL.map(Language::as_str).join(", ");
    Language::parse(text).ok_or_else(|| ("unknown_value", format!("must be one of {}", names())))
}

fn theme(text: &str) -> Result<Theme, Refusal> {
    let names = || Theme::ALL.map(Theme::as_str).join(", ");
    Theme::parse(text).ok_or_else(|| ("unknown_value", format!("must be one of {}", names())))
}

fn time_zone(text: &str) -> Result<Tz, Refusal> {
    let refusal = || ("unknown_time_zone", "must be an IANA time zone name such as Europe/Madrid".to_owned());
    text.parse().ok().ok_or_else(refusal)
}
