//! What the route table requires of a request, for the middleware that applies it.

use crate::http::body::BodyClass;
use crate::http::limits::LimitClass;

/// The rules of a request's route. They are stored in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct RouteRules {
    /// The class of request limits.
    pub limit: LimitClass,
    /// The class of body limits.
    pub body: BodyClass,
    /// Whether the response contains a secret.
    pub returns_secret: bool,
}
