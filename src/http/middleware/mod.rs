//! What every request passes through, from outside: [`observe()`] gives it its identifier, log line, metrics and problem
//! details; [`gate()`] keeps it out while Aval starts; [`guard()`], around each resource, bounds its time and catches panics; [`authorize()`], around each route, lets
//! through whom the route table allows.

mod authorize;
mod gate;
mod guard;
mod observe;
mod request_context;

pub(super) use self::authorize::authorize;
pub(super) use self::gate::gate;
pub(super) use self::guard::guard;
pub(super) use self::observe::observe;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;

/// The body of an answer, boxed: middleware and handlers agree on one type.
fn boxed(response: ServiceResponse<impl MessageBody + 'static>) -> ServiceResponse<BoxBody> {
    response.map_into_boxed_body()
}
