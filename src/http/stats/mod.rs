//! Statistics: of a user's own applications, or of all applications for staff. They contain no personal data.

pub mod country;
pub mod daily;
pub mod get;
pub mod view;

use actix_web::HttpResponse;
use actix_web::http::header;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::HttpState;
use super::conditional::Conditions;
use crate::cache::{Loaded, Subject};
use crate::domain::application::Country;
use crate::error::{Error, Result};
use crate::lending::Visibility;
use crate::lending::figures::Figures;

/// The statistics of one country or all countries, from the cache or the database.
async fn load_cached<V: Serialize + DeserializeOwned>(
    state: &HttpState,
    visibility: &Visibility,
    country: Option<Country>,
    view: impl FnOnce(&Figures) -> V,
) -> Result<V> {
    let load = async {
        let began = state.resources.clock.now();
        let figures = state.lending.figures(visibility, country).await?;
        let body = serde_json::to_vec(&view(&figures)).map_err(Error::internal)?;
        // Outdated figures must not be cached, because no event signals when they become current.
        Ok(Loaded { body: body.into(), may_be_cached: figures.as_of >= began })
    };
    let query = country.map_or("", Country::code);
    let body = state.cache.get_if_cacheable(Subject::Statistics, visibility, query, load).await?;
    serde_json::from_slice(&body).map_err(Error::internal)
}

/// The response with a weak ETag that excludes `as_of`.
fn respond(view: &impl Serialize, conditions: &Conditions) -> Result<HttpResponse> {
    let body = serde_json::to_value(view).map_err(Error::internal)?;
    let tag = tag(&body);
    let field = (header::ETAG, format!("W/{tag}"));
    if conditions.client_has_tag(&tag) {
        return Ok(HttpResponse::NotModified().insert_header(field).finish());
    }
    Ok(HttpResponse::Ok().insert_header(field).json(body))
}

fn tag(body: &Value) -> String {
    let mut figures = body.clone();
    if let Some(members) = figures.as_object_mut() {
        members.remove("as_of");
    }
    let digest = Sha256::digest(figures.to_string());
    let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_tag_depends_on_the_figures_and_not_on_the_time() {
        let at = |as_of: &str, total: u64| tag(&json!({"as_of": as_of, "total": total}));
        assert_eq!(at("2026-01-01", 1), at("2026-01-02", 1));
        assert_ne!(at("2026-01-01", 1), at("2026-01-01", 2));
    }
}
