//! `ETag`, `If-Match` and `If-None-Match` (RFC 9110, section 13).
//!
//! The ETag of an application is derived from its version, which increases with every change. A malformed condition is
//! refused rather than treated as a condition that does not hold.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderName};
use actix_web::{FromRequest, HttpRequest};

use super::problem::Rejection;
use crate::error::{Error, PublicMessage};
use crate::lending::change::ExpectedVersion;

/// The ETag of a version.
pub fn etag(version: i64) -> String {
    format!("\"v{version}\"")
}

/// The entity tags in the conditions of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
}

impl Conditions {
    /// The versions that `If-Match` allows the change to apply to. Weak tags match nothing.
    pub fn expected_version(&self) -> Option<ExpectedVersion> {
        let tags = self.if_match.as_deref()?;
        if tags.split(',').any(|tag| tag.trim() == "*") {
            return Some(ExpectedVersion::Any);
        }
        let version = |tag: &str| {
            let version = tag.trim().strip_prefix("\"v")?.strip_suffix('"')?.parse().ok()?;
            (etag(version) == tag.trim()).then_some(version)
        };
        Some(ExpectedVersion::OneOf(tags.split(',').filter_map(version).collect()))
    }

    /// Whether the client already has this version: `If-None-Match` is `*` or contains its tag, weak or strong.
    pub fn client_has_version(&self, version: i64) -> bool {
        self.client_has_tag(&etag(version))
    }

    /// Like [`Self::client_has_version`], for any ETag. `tag` must be a strong tag.
    pub fn client_has_tag(&self, tag: &str) -> bool {
        self.if_none_match
            .as_deref()
            .is_some_and(|tags| contains_tag(tags, tag) || contains_tag(tags, &format!("W/{tag}")))
    }
}

/// Whether a list of tags contains `tag`. Splitting at commas is safe because Aval's own tags contain none.
fn contains_tag(tags: &str, tag: &str) -> bool {
    tags.split(',').map(str::trim).any(|listed| listed == "*" || listed == tag)
}

/// Whether a string is `*` or a list of entity tags, each in double quotes (RFC 9110, section 8.8.3).
fn is_well_formed(tags: &str) -> bool {
    if tags.trim() == "*" {
        return true;
    }
    let (mut rest, mut found_tag) = (tags.trim(), false);
    while !rest.is_empty() {
        let opaque = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"');
        let Some((tag, after)) = opaque.and_then(|text| text.split_once('"')) else { return false };
        if !tag.chars().all(|c| c == '!' || (c > '"' && c != '\u{7f}')) {
            return false;
        }
        found_tag = true;
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start_matches([' ', '\t', ',']),
            None if rest.is_empty() => {}
            None => return false,
        }
    }
    found_tag
}

/// The value of a condition; multiple header lines form one list.
fn condition(request: &HttpRequest, name: &HeaderName) -> Result<Option<String>, Error> {
    let lines: Vec<_> =
        request.headers().get_all(name).map(|line| line.to_str().unwrap_or_default()).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let tags = lines.join(",");
    if is_well_formed(&tags) {
        return Ok(Some(tags));
    }
    let field = if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
    let text = format!("{field} must be * or a list of entity tags in double quotes, such as {}.", etag(3));
    Err(Error::Malformed(PublicMessage::new(text)))
}

impl FromRequest for Conditions {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let if_match = condition(request, &header::IF_MATCH);
        let if_none_match = condition(request, &header::IF_NONE_MATCH);
        let both = if_match.and_then(|if_match| Ok(Self { if_match, if_none_match: if_none_match? }));
        ready(both.map_err(Rejection::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn allow_change(conditions: &Conditions, version: i64) -> bool {
        conditions.expected_version().is_none_or(|expected| expected.allows(version))
    }

    async fn conditions(lines: &[(HeaderName, &str)]) -> Conditions {
        let request = lines.iter().fold(TestRequest::default(), |r, line| r.append_header(line.clone()));
        Conditions::extract(&request.to_http_request()).await.unwrap()
    }

    #[actix_rt::test]
    async fn a_change_requires_a_strong_tag_of_the_version_or_no_condition() {
        for (tag, allowed) in [
            ("\"v3\"", true),
            ("*", true),
            ("\"v1\", \"v3\"", true),
            ("W/\"v3\"", false),
            ("\"v3,v4\", \"v1\"", false),
        ] {
            let conditions = conditions(&[(header::IF_MATCH, tag)]).await;
            assert_eq!(allow_change(&conditions, 3), allowed, "{tag}");
        }
        assert!(allow_change(&Conditions::default(), 3));
        let two = conditions(&[(header::IF_MATCH, "\"v1\""), (header::IF_MATCH, "\"v3\"")]).await;
        assert!(allow_change(&two, 3) && !allow_change(&two, 2));
    }

    #[actix_rt::test]
    async fn a_read_compares_weakly() {
        for (tag, known) in [("\"v3\"", true), ("W/\"v3\"", true), ("*", true), ("\"v33\"", false)] {
            assert_eq!(
                conditions(&[(header::IF_NONE_MATCH, tag)]).await.client_has_version(3),
                known,
                "{tag}"
            );
        }
        assert!(!Conditions::default().client_has_version(3));
    }

    #[actix_rt::test]
    async fn a_condition_that_is_not_a_list_of_quoted_tags_is_malformed() {
        for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
            for tags in
                ["v3", "", "3", "\"v3", "v3\"", "\"v1\" \"v3\"", "w/\"v3\"", "*, \"v3\"", "'v3'", "\"v 3\""]
            {
                let request = TestRequest::default().append_header((name.clone(), tags)).to_http_request();
                let refused = Conditions::extract(&request).await.expect_err(tags);
                assert_eq!(refused.kind().status, 400, "{tags}");
                let detail = refused.problem(None).detail;
                assert!(
                    detail.contains("\"v3\"") && detail.to_lowercase().contains(name.as_str()),
                    "{detail}"
                );
            }
            for tags in ["\"\"", "\"v3\"", "W/\"a\",\"b\"", " \"a\" ,, \"b\"", " * "] {
                let request = TestRequest::default().append_header((name.clone(), tags)).to_http_request();
                assert!(Conditions::extract(&request).await.is_ok(), "{tags}");
            }
        }
    }
}
