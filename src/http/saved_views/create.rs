//! `POST /api/v1/auth/me/views`

use std::collections::BTreeMap;

use actix_web::HttpResponse;

use super::filters::filters;
use super::view::SavedViewItem;
use crate::accounts::{Saved, ViewPage, ViewToSave};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::problem::{HandlerResult, Rejection};
use crate::http::request::request_body;
use crate::http::request::values::text;
use crate::json::Refusal;

/// Maximum length of a name, in characters.
const MAX_NAME_CHARS: usize = 60;

request_body! {
    /// A view to save.
    pub struct SaveViewRequest {
        /// The page of the console with the list.
        #[schema(value_type = crate::http::schemas::ViewPageName)]
        page: ViewPage = required(text(page)),
        /// The name, unique among the views of the account for this page.
        #[schema(min_length = 1, max_length = 60)]
        name: String = required(text(name)),
        /// The query parameters of the list with their values. A document is personal data and cannot be saved.
        filters: BTreeMap<String, String> = required(|raw| filters(raw, page)),
    }
}

/// Saves filters of a list under a name.
///
/// The filters of `applications` are those of `GET /api/v1/applications`, including `sort`; the filters of `reviews` are
/// `country` and `assignment` (`unassigned`, `mine` or `others`).
#[utoipa::path(
    post,
    path = "/api/v1/auth/me/views",
    operation_id = "create_saved_view",
    tag = "accounts",
    request_body(
        content = SaveViewRequest,
        example = json!({"page": "applications", "name": "Large amounts in Spain", "filters": {"country": "ES", "min_amount": "20000.00"}}),
    ),
    responses(
        (status = 201, description = "The saved view", body = SavedViewItem),
        (status = 409, description = "The account has a view with this name for the same page, or 50 views"),
    ),
)]
pub(in crate::http) async fn create(
    state: HttpState,
    principal: Principal,
    body: JsonObject,
) -> HandlerResult {
    let SaveViewRequest { page, name, filters } = SaveViewRequest::read(body.members()?)?;
    match state.accounts.save_view(&principal, &ViewToSave { page, name, filters }).await? {
        Saved::Created(view) => Ok(HttpResponse::Created().json(SavedViewItem::from(view))),
        Saved::Duplicate => Err(Rejection::DuplicateView),
    }
}

fn page(text: &str) -> Result<ViewPage, Refusal> {
    let names = || ViewPage::ALL.map(ViewPage::as_str).join(", ");
    ViewPage::parse(text).ok_or_else(|| ("unknown_value", format!("must be one of {}", names())))
}

fn name(text: &str) -> Result<String, Refusal> {
    let name = text.trim();
    let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    let refusal =
        || ("bad_name", format!("must be 1 to {MAX_NAME_CHARS} characters without control characters"));
    if fits { Ok(name.to_owned()) } else { Err(refusal()) }
}
