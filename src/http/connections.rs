//! The open connections: how many an address may have, and how long one may be open without a request in it.
//!
//! actix bounds the time to the head of a connection's first request, and the pause after an answer, but not a later head that
//! trickles in byte by byte, nor an answer that nobody fetches. So every connection is watched from outside: one that has had no
//! request in it for `server.keep_alive_ms` is shut down, whatever it is doing meanwhile. A stream that is still being sent, a WebSocket
//! for instance, counts as a request. A handle of its own to the socket makes that possible; each connection costs two file
//! descriptors.
//!
//! A connection is known from the moment at which it can carry requests: on TLS, after the handshake, whose time and number
//! actix bounds.

use std::any::Any;
use std::collections::HashMap;
use std::net::{IpAddr, Shutdown};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::Error as ActixError;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use actix_web::web::Bytes;
use slog::{Logger, debug, warn};
use socket2::{SockRef, Socket};

use super::client_address::ClientAddress;
use crate::clock::Clock;
use crate::config::ServerSettings;
use crate::telemetry::metrics::Metrics;

/// The open connections of a server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    inner: Arc<Inner>,
}

struct Inner {
    settings: ServerSettings,
    clock: Clock,
    metrics: Arc<Metrics>,
    logger: Logger,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last_id: u64,
    by_id: HashMap<u64, Arc<Watched>>,
    of_network: HashMap<IpAddr, usize>,
}

/// One connection, as the watcher sees it.
struct Watched {
    socket: Socket,
    /// Requests in it.
    requests: AtomicUsize,
    /// When there was last a request in it, in milliseconds of the monotonic clock.
    idle_since_ms: AtomicU64,
}

/// Stands with a connection's data, and leaves the books with it.
pub(super) struct OpenConnection {
    connections: Connections,
    id: u64,
    network: IpAddr,
    watched: Arc<Watched>,
}

impl Connections {
    /// Watches connections until the last clone is gone.
    pub(super) fn watch(
        settings: &ServerSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
        logger: Logger,
    ) -> Self {
        let inner = Inner { settings: settings.clone(), clock, metrics, logger, open: Mutex::default() };
        let connections = Self { inner: Arc::new(inner) };
        let look_every = (settings.keep_alive() / 4).clamp(Duration::from_millis(10), Duration::from_secs(5));
        actix_rt::spawn(close_forgotten(Arc::downgrade(&connections.inner), look_every));
        connections
    }

    /// Takes a new connection into the books. One that is too many for its address is shut down.
    pub(super) fn admit(&self, connection: &dyn Any) -> Option<OpenConnection> {
        let stream = tcp_stream(connection)?;
        let admitted = self.set_up(stream).unwrap_or_else(|error| {
            // The peer has gone already, or file descriptors have run out.
            debug!(self.inner.logger, "a connection cannot be watched"; "error" => %error);
            None
        });
        if admitted.is_none() {
            let _already_closed = SockRef::from(stream).shutdown(Shutdown::Both);
        }
        admitted
    }

    fn set_up(&self, stream: &TcpStream) -> std::io::Result<Option<OpenConnection>> {
        let settings = &self.inner.settings;
        let socket = SockRef::from(stream).try_clone()?;
        socket.set_tcp_nodelay(true)?;
        // A peer that acknowledges nothing is cut off by the kernel, also where the task that writes to it stands still.
        socket.set_tcp_user_timeout(Some(Duration::from_millis(settings.tcp_user_timeout_ms)))?;
        let peer = ClientAddress::new(stream.peer_addr()?.ip());
        let is_limited = settings.max_connections_per_address > 0 && !peer.is_in(&settings.trusted_proxies);
        let watched = Arc::new(Watched {
            socket,
            requests: AtomicUsize::new(0),
            idle_since_ms: AtomicU64::new(self.inner.now_ms()),
        });
        let network = peer.network();
        let mut open = self.inner.open();
        let of_network = open.of_network.entry(network).or_default();
        if is_limited && *of_network >= settings.max_connections_per_address {
            self.inner.metrics.http_connections_refused_total.with_label_values(&["address_limit"]).inc();
            return Ok(None);
        }
        *of_network += 1;
        open.last_id += 1;
        let id = open.last_id;
        open.by_id.insert(id, Arc::clone(&watched));
        self.inner.metrics.http_connections_active.inc();
        Ok(Some(OpenConnection { connections: self.clone(), id, network, watched }))
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    /// Shuts down the connections that had no request in them for too long.
    fn close_forgotten(&self) {
        let oldest = self.now_ms().saturating_sub(self.settings.keep_alive_ms);
        let forgotten: Vec<_> = self
            .open()
            .by_id
            .values()
            .filter(|watched| {
                watched.requests.load(Ordering::SeqCst) == 0
                    && watched.idle_since_ms.load(Ordering::SeqCst) < oldest
            })
            .cloned()
            .collect();
        for watched in forgotten {
            if watched.socket.shutdown(Shutdown::Both).is_ok() {
                self.metrics.http_connections_refused_total.with_label_values(&["no_request"]).inc();
            }
        }
    }
}

async fn close_forgotten(connections: Weak<Inner>, look_every: Duration) {
    loop {
        tokio::time::sleep(look_every).await;
        let Some(connections) = connections.upgrade() else { return };
        connections.close_forgotten();
    }
}

/// The socket below a connection, with TLS or without.
fn tcp_stream(connection: &dyn Any) -> Option<&TcpStream> {
    connection
        .downcast_ref::<TcpStream>()
        .or_else(|| connection.downcast_ref::<TlsStream<TcpStream>>().map(|stream| stream.get_ref().0))
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let inner = &self.connections.inner;
        let mut open = inner.open();
        open.by_id.remove(&self.id);
        if let Some(count) = open.of_network.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.of_network.remove(&self.network);
            }
        }
        inner.metrics.http_connections_active.dec();
    }
}

/// A request in a connection.
struct Presence {
    inner: Arc<Inner>,
    watched: Arc<Watched>,
}

impl Presence {
    fn begin(connection: &OpenConnection) -> Self {
        connection.watched.requests.fetch_add(1, Ordering::SeqCst);
        Self { inner: Arc::clone(&connection.connections.inner), watched: Arc::clone(&connection.watched) }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.watched.idle_since_ms.store(self.inner.now_ms(), Ordering::SeqCst);
        self.watched.requests.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Has a connection count as used until its request is answered, and a stream sent.
pub(super) async fn attend(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let presence = request.request().conn_data::<OpenConnection>().map(Presence::begin);
    let response = next.call(request).await?.map_into_boxed_body();
    match presence {
        Some(presence) if response.response().body().size() == BodySize::Stream => {
            Ok(response.map_body(|_, body| BoxBody::new(Attended { body, _presence: presence })))
        }
        _ => Ok(response),
    }
}

/// A stream that is being sent.
struct Attended {
    body: BoxBody,
    _presence: Presence,
}

impl MessageBody for Attended {
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

/// Each connection takes two file descriptors; the database, the bureaus and the log take some too.
const OTHER_FILES: u64 = 512;

/// Raises the limit of open files to what `max_connections` needs, as far as this process may.
pub(super) fn make_room(settings: &ServerSettings, logger: &Logger) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let needed = u64::try_from(settings.max_connections)
        .unwrap_or(u64::MAX)
        .saturating_mul(2)
        .saturating_add(OTHER_FILES);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft >= needed {
        return;
    }
    let possible = needed.min(hard);
    if setrlimit(Resource::RLIMIT_NOFILE, possible, hard).is_err() || possible < needed {
        warn!(logger, "too few open files are allowed for server.max_connections";
            "needed" => needed, "allowed" => possible);
    }
}
