//! What every request passes through, from outside: [`protect()`] tells browsers what not to do with the answer;
//! [`compress()`] makes a long one shorter; [`observe()`] gives it its identifier, log line, metrics and problem
//! details; [`limit_the_rest()`] counts it where no route does; [`bounds()`] refuses a head that is too large;
//! [`gate()`] keeps it out while Aval starts; [`guard()`], around each resource, bounds its time and catches panics.
//! Around each route, [`limit_address()`] counts it for its client's address, [`authorize()`] lets through whom the
//! route table allows, [`limit_account()`] counts it for whoever that is, [`refuse_query()`] refuses parameters that
//! it does not have, and [`repeat()`] makes a read again that a lost session with the database failed.

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

/// The body of an answer, boxed: middleware and handlers agree on one type.
fn boxed(response: ServiceResponse<impl MessageBody + 'static>) -> ServiceResponse<BoxBody> {
    response.map_into_boxed_body()
}
