//! The state of one instance, from its detailed health report.

use std::time::Duration;

use awc::http::{StatusCode, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, PublicMessage, Result};

/// Time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How to authenticate. Production requires it.
pub(super) enum Credential {
    /// An access token of an admin.
    Token(SecretString),
    /// An API key with the scope `operations:read`.
    Key(SecretString),
}

/// What an instance reports, or why it does not.
#[derive(Debug, Serialize)]
pub(super) struct InstanceStatus {
    pub(super) url: String,
    /// `GET /health/detailed`.
    pub(super) health: Option<Value>,
    pub(super) error: Option<String>,
}

/// Refuses a URL that is not `http` or `https`, or that contains credentials.
///
/// # Errors
/// [`Error::Malformed`].
pub(super) fn check_url(url: &str) -> Result<()> {
    let is_usable = url.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
    });
    if is_usable {
        return Ok(());
    }
    Err(Error::Malformed(PublicMessage::new(
        "--url must be an http(s) URL without a query, a user or a password",
    )))
}

/// Reads the report of the instance at `url`.
pub(super) async fn read(url: &str, credential: Option<&Credential>) -> InstanceStatus {
    let url = url.trim_end_matches('/').to_owned();
    let (health, error) = match fetch(&url, credential).await {
        Ok(health) => (Some(health), None),
        Err(error) => (None, Some(error)),
    };
    InstanceStatus { url, health, error }
}

async fn fetch(url: &str, credential: Option<&Credential>) -> Result<Value, String> {
    // awc panics without a default crypto provider. An error means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = awc::Client::builder().timeout(TIMEOUT).disable_redirects().finish();
    let request = client.get(format!("{url}/health/detailed"));
    let request = match credential {
        Some(Credential::Token(token)) => request.bearer_auth(token.expose_secret()),
        Some(Credential::Key(key)) => request.insert_header(("X-API-Key", key.expose_secret())),
        None => request,
    };
    let mut response = request.send().await.map_err(|error| error.to_string())?;
    match response.status() {
        StatusCode::OK => response.json::<Value>().await.map_err(|error| error.to_string()),
        StatusCode::UNAUTHORIZED => Err("set AVAL_TOKEN or AVAL_API_KEY (scope operations:read)".to_owned()),
        StatusCode::FORBIDDEN => {
            Err("the credential lacks the role admin or the scope operations:read".to_owned())
        }
        status => Err(format!("status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_without_credentials_are_accepted() {
        for (url, expected) in [
            ("http://127.0.0.1:8000", true),
            ("https://aval.example", true),
            ("ftp://aval.example", false),
            ("http://a:b@aval.example", false),
            ("http://aval.example/?x=1", false),
            ("aval.example", false),
        ] {
            assert_eq!(check_url(url).is_ok(), expected, "{url}");
        }
    }
}
