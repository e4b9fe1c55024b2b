//! `ETag`, `If-Match` and `If-None-Match` (RFC 9110, section 13).
//!
//! An application's tag is made of its version, which counts its changes.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderName};
use actix_web::{FromRequest, HttpRequest};

/// The tag of a version.
pub fn etag(version: i64) -> String {
    format!("\"v{version}\"")
}

/// The tags that a request names in its conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
}

impl Conditions {
    /// Whether a change may be made to something that has this version: `If-Match` is absent, `*`, or names it. Weak tags
    /// never match.
    pub fn allow_change(&self, version: i64) -> bool {
        self.if_match.as_deref().is_none_or(|tags| names(tags, &etag(version)))
    }

    /// Whether `If-Match` was sent.
    pub fn restrict_changes(&self) -> bool {
        self.if_match.is_some()
    }

    /// Whether the client already has this version: `If-None-Match` is `*` or names it, weakly or not.
    pub fn is_known(&self, version: i64) -> bool {
        self.knows(&etag(version))
    }

    /// The same for any tag, given in its strong form.
    pub fn knows(&self, tag: &str) -> bool {
        self.if_none_match.as_deref().is_some_and(|tags| names(tags, tag) || names(tags, &format!("W/{tag}")))
    }
}

/// Whether a list of tags holds `tag`. Our own tags have no comma, so that splitting at commas finds them.
fn names(tags: &str, tag: &str) -> bool {
    tags.split(',').map(str::trim).any(|named| named == "*" || named == tag)
}

impl FromRequest for Conditions {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // Several header lines are one list; a line that is no text names none of our tags.
        let list = |name: HeaderName| {
            let lines = request.headers().get_all(&name).map(|line| line.to_str().unwrap_or_default());
            let lines: Vec<&str> = lines.collect();
            (!lines.is_empty()).then(|| lines.join(","))
        };
        ready(Ok(Self { if_match: list(header::IF_MATCH), if_none_match: list(header::IF_NONE_MATCH) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    async fn conditions(lines: &[(HeaderName, &str)]) -> Conditions {
        let request = lines.iter().fold(TestRequest::default(), |r, line| r.append_header(line.clone()));
        Conditions::extract(&request.to_http_request()).await.unwrap()
    }

    #[actix_rt::test]
    async fn a_change_needs_a_strong_tag_of_the_version_or_none_at_all() {
        for (tag, allowed) in [
            ("\"v3\"", true),
            ("*", true),
            ("\"v1\", \"v3\"", true),
            ("W/\"v3\"", false),
            ("v3", false),
            ("", false),
        ] {
            let conditions = conditions(&[(header::IF_MATCH, tag)]).await;
            assert_eq!(conditions.allow_change(3), allowed, "{tag}");
        }
        assert!(Conditions::default().allow_change(3));
        let two = conditions(&[(header::IF_MATCH, "\"v1\""), (header::IF_MATCH, "\"v3\"")]).await;
        assert!(two.allow_change(3) && !two.allow_change(2));
    }

    #[actix_rt::test]
    async fn a_read_compares_weakly() {
        for (tag, known) in
            [("\"v3\"", true), ("W/\"v3\"", true), ("*", true), ("\"v33\"", false), ("", false)]
        {
            assert_eq!(conditions(&[(header::IF_NONE_MATCH, tag)]).await.is_known(3), known, "{tag}");
        }
        assert!(!Conditions::default().is_known(3));
    }
}
