//! The rules of the route table that middleware applies to a request.

use crate::http::body::BodyClass;
use crate::http::limits::LimitClass;

/// The rules of a request's route. They are stored in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct RouteRules {
    /// Selects the rate limit that counts the request.
    pub limit: LimitClass,
    /// Selects the maximum size of the body and the time limit for it.
    pub body: BodyClass,
    /// Whether the response contains a secret.
    pub returns_secret: bool,
}
