//! The middleware that tracks the requests of a connection.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::{ConnectionType, Version};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error as ActixError, HttpMessage as _};
use futures_util::Stream;

use super::{OpenConnection, Refusal};

/// Number of consecutive refused requests after which a connection is closed, far above what occasional client errors
/// produce.
const MAX_REFUSED_IN_A_ROW: u32 = 100;

/// Marks a connection as in use by a request.
struct RequestGuard(Rc<OpenConnection>);

impl RequestGuard {
    fn begin(connection: &Rc<OpenConnection>) -> Self {
        connection.watched.requests.fetch_add(1, Ordering::SeqCst);
        connection.set_partial_head(false);
        Self(Rc::clone(connection))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let watched = Arc::clone(&self.0.watched);
        watched.idle_since_ms.store(self.0.connections.inner.now_ms(), Ordering::SeqCst);
        watched.requests.fetch_sub(1, Ordering::SeqCst);
        self.0.exchange.finish();
    }
}

/// Marks a connection as in use until the response, including a stream, has been sent. Closes connections that keep
/// sending refused requests.
pub(in crate::http) async fn track_request(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let Some(connection) = request.request().conn_data::<Rc<OpenConnection>>().cloned() else {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    };
    let guard = RequestGuard::begin(&connection);
    if connection.exchange.begin() {
        let payload = request.take_payload();
        let awaited =
            AwaitedBody { payload: Box::pin(payload), connection: Rc::clone(&connection), is_read: false };
        request.set_payload(Payload::Stream { payload: Box::pin(awaited) });
    }
    let version = request.version();
    let answered = next.call(request).await;
    // From here on, only the final response is sent.
    connection.exchange.set_continue_due(false);
    let mut response = answered?.map_into_boxed_body();
    close_flood(&connection, &mut response);
    if response.response().body().size() != BodySize::Stream {
        return Ok(response);
    }
    if version < Version::HTTP_11 {
        end_body_with_connection(&mut response);
    }
    Ok(response.map_body(|_, body| BoxBody::new(TrackedBody { body, _guard: guard })))
}

fn close_flood(connection: &OpenConnection, response: &mut ServiceResponse<BoxBody>) {
    let refused = connection.exchange.count_response(response.status().is_client_error());
    if refused < MAX_REFUSED_IN_A_ROW {
        return;
    }
    if refused == MAX_REFUSED_IN_A_ROW {
        connection.refuse(Refusal::Flood);
    }
    response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    // HTTP/2 has no such field, so the connection is shut down if the refusals continue.
    if refused >= 2 * MAX_REFUSED_IN_A_ROW {
        connection.shut_down();
    }
}

/// HTTP/1.0 has no chunked encoding: a body of unknown length ends when the connection closes (RFC 9112, section 6.3).
fn end_body_with_connection(response: &mut ServiceResponse<BoxBody>) {
    let head = response.response_mut().head_mut();
    head.no_chunking(true);
    head.set_connection_type(ConnectionType::Close);
}

/// The body of a request whose client waits for `100 Continue`. The interim response is due when the body is first
/// read; a request that is refused without reading its body gets only the final status (RFC 9110, section 10.1.1).
struct AwaitedBody {
    payload: Pin<Box<Payload>>,
    connection: Rc<OpenConnection>,
    is_read: bool,
}

impl Stream for AwaitedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.is_read {
            self.is_read = true;
            self.connection.exchange.set_continue_due(true);
        }
        self.payload.as_mut().poll_next(cx)
    }
}

/// The body of a streamed response, which keeps its connection marked as in use.
struct TrackedBody {
    body: BoxBody,
    _guard: RequestGuard,
}

impl MessageBody for TrackedBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
