//! The middleware of every request, from the outside in.
//!
//! Around the whole application:
//!
//! - [`protect()`] adds security headers;
//! - [`compress()`] compresses long responses;
//! - [`observe()`] adds the request ID and problem details, writes the log line and updates the metrics;
//! - [`limit_the_rest()`] counts requests that no route counts;
//! - [`bounds()`] refuses heads that are too large;
//! - [`gate()`] refuses requests during startup.
//!
//! Around each resource, [`guard()`] limits the running time and catches panics. Around each route:
//!
//! - [`limit_address()`] counts the request for its client address;
//! - [`authorize()`] enforces the access rule of the route table;
//! - [`limit_account()`] counts the request for its account;
//! - [`refuse_query()`] refuses unknown query parameters;
//! - [`repeat()`] retries reads that failed because a database connection was lost.

mod authorize;
mod bounds;
mod compress;
mod gate;
mod guard;
mod limit;
mod observe;
mod protect;
mod query;
mod repeat;
mod request_context;
mod route_rules;

pub(super) use self::authorize::authorize;
pub(super) use self::bounds::bounds;
pub(super) use self::compress::compress;
pub(super) use self::gate::gate;
pub(super) use self::guard::guard;
pub(super) use self::limit::{limit_account, limit_address, limit_the_rest};
pub(super) use self::observe::observe;
pub(super) use self::protect::protect;
pub(super) use self::query::refuse_query;
pub(super) use self::repeat::repeat;
pub(super) use self::route_rules::RouteRules;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;

/// Boxes the body of a response, so that middleware and handlers share one type.
fn boxed(response: ServiceResponse<impl MessageBody + 'static>) -> ServiceResponse<BoxBody> {
    response.map_into_boxed_body()
}
