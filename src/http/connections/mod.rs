//! Limits the number of open connections, in total and per address, and their idle time.
//!
//! A connection is counted as soon as it is accepted, before TLS, so silent connections count too. When
//! `server.max_connections` are open, [`SPARE_CONNECTIONS`] more are accepted to keep the server observable: health
//! probes are answered on them and all other requests are refused with a 503. Refused connections are counted in
//! `http_connections_refused_total` and logged at a limited rate.
//!
//! actix limits the time until the first request head has arrived, and the idle time after a response. It does not limit
//! the time for a later head that arrives byte by byte, or for a response that the client does not read. Therefore every
//! connection is also monitored independently of actix: a connection without a request in progress for
//! `server.keep_alive_ms` is shut down, regardless of its state. A stream that is still being sent, such as a WebSocket,
//! counts as a request in progress. Monitoring needs a second handle to the socket, so each connection takes two file
//! descriptors.

mod exchange;
mod open_files;
mod track;

use std::collections::HashMap;
use std::net::{IpAddr, Shutdown};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use slog::{Logger, debug, warn};
use socket2::{SockRef, Socket};

use super::client_address::ClientAddress;
use super::line_limit::LineLimit;
use crate::clock::Clock;
use crate::config::ServerSettings;
use crate::telemetry::metrics::Metrics;

pub(super) use self::exchange::Exchange;
pub(super) use self::open_files::connections_that_fit;
pub(super) use self::track::track_request;

/// Connections accepted beyond `server.max_connections`, for health probes.
pub(super) const SPARE_CONNECTIONS: usize = 64;
/// Maximum idle time of a spare connection.
const SPARE_IDLE_LIMIT: Duration = Duration::from_secs(1);

/// Maximum interval between checks for idle connections.
const MAX_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Interval within which refused connections are logged once per reason.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Why a connection is refused or shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Refusal {
    /// The address has too many connections.
    AddressLimit,
    /// The connection limit has been reached.
    ConnectionLimit,
    /// No request was received in time.
    NoRequest,
    /// The TLS handshake did not finish in time.
    Handshake,
    /// The client kept sending refused requests.
    Flood,
}

impl Refusal {
    pub(super) const ALL: [Self; 5] =
        [Self::AddressLimit, Self::ConnectionLimit, Self::NoRequest, Self::Handshake, Self::Flood];

    /// The label in metrics and logs.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::AddressLimit => "address_limit",
            Self::ConnectionLimit => "connection_limit",
            Self::NoRequest => "no_request",
            Self::Handshake => "tls_handshake",
            Self::Flood => "flood",
        }
    }
}

/// The open connections of a server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    inner: Arc<Inner>,
}

struct Inner {
    settings: ServerSettings,
    /// `server.max_connections`, lowered to what the open-file limit allows.
    max_open: usize,
    clock: Clock,
    metrics: Arc<Metrics>,
    logger: Logger,
    log_limits: HashMap<Refusal, LineLimit>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last_id: u64,
    by_id: HashMap<u64, Arc<Watched>>,
    spare: HashMap<u64, Arc<Watched>>,
    count_by_network: HashMap<IpAddr, usize>,
}

/// The monitored state of one connection.
struct Watched {
    socket: Socket,
    /// Number of requests in progress.
    requests: AtomicUsize,
    /// When a request was last in progress, in milliseconds of the monotonic clock.
    idle_since_ms: AtomicU64,
    idle_limit_ms: u64,
    /// Whether part of a request head has been received.
    has_partial_head: AtomicBool,
}

impl Watched {
    fn is_idle(&self) -> bool {
        self.requests.load(Ordering::SeqCst) == 0
    }

    fn is_idle_too_long(&self, now_ms: u64) -> bool {
        let oldest = now_ms.saturating_sub(self.idle_limit_ms);
        self.is_idle() && self.idle_since_ms.load(Ordering::SeqCst) < oldest
    }
}

/// An open connection. Dropping it removes it from the count.
pub(super) struct OpenConnection {
    connections: Connections,
    id: u64,
    network: IpAddr,
    is_spare: bool,
    watched: Arc<Watched>,
    exchange: Exchange,
}

impl Connections {
    /// Monitors connections until the last clone is dropped. At most `max_open` connections are open, plus the spare ones.
    pub(super) fn watch(
        settings: &ServerSettings,
        max_open: usize,
        clock: Clock,
        metrics: Arc<Metrics>,
        logger: Logger,
    ) -> Self {
        let log_limits = Refusal::ALL.map(|refusal| (refusal, LineLimit::new(1, LOG_EVERY))).into();
        let settings = settings.clone();
        let check_interval = (settings.keep_alive() / 4).clamp(Duration::from_millis(10), MAX_CHECK_INTERVAL);
        let inner = Inner { settings, max_open, clock, metrics, logger, log_limits, open: Mutex::default() };
        let connections = Self { inner: Arc::new(inner) };
        actix_rt::spawn(close_idle(Arc::downgrade(&connections.inner), check_interval));
        connections
    }

    /// Counts a new connection. Connections over the limit are shut down.
    pub(super) fn admit(&self, stream: &TcpStream) -> Option<OpenConnection> {
        let refusal = match self.set_up(stream) {
            Ok(Ok(admitted)) => return Some(admitted),
            Ok(Err(refusal)) => Some(refusal),
            Err(error) => {
                // The peer has already disconnected, or no file descriptors are left.
                debug!(self.inner.logger, "a connection cannot be monitored"; "error" => %error);
                None
            }
        };
        if let Some(refusal) = refusal {
            self.inner.refuse(refusal);
        }
        let _already_closed = SockRef::from(stream).shutdown(Shutdown::Both);
        None
    }

    fn set_up(&self, stream: &TcpStream) -> std::io::Result<Result<OpenConnection, Refusal>> {
        let settings = &self.inner.settings;
        let socket = SockRef::from(stream).try_clone()?;
        socket.set_tcp_nodelay(true)?;
        // The kernel drops a peer that acknowledges no data, even while the task that writes to it is blocked.
        socket.set_tcp_user_timeout(Some(Duration::from_millis(settings.tcp_user_timeout_ms)))?;
        let peer = ClientAddress::new(stream.peer_addr()?.ip());
        let is_limited = settings.max_connections_per_address > 0 && !peer.is_in(&settings.trusted_proxies);
        Ok(self.register(socket, peer.network(), is_limited))
    }

    fn register(&self, socket: Socket, network: IpAddr, is_limited: bool) -> Result<OpenConnection, Refusal> {
        let inner = &self.inner;
        let mut open = inner.open();
        let from_network = open.count_by_network.get(&network).copied().unwrap_or_default();
        if is_limited && from_network >= inner.settings.max_connections_per_address {
            return Err(Refusal::AddressLimit);
        }
        let is_spare = open.by_id.len() >= inner.max_open;
        if is_spare && open.spare.len() >= SPARE_CONNECTIONS {
            open.make_room()?;
        }
        let idle_limit_ms =
            if is_spare { SPARE_IDLE_LIMIT.as_millis() } else { inner.settings.keep_alive().as_millis() };
        let watched = Arc::new(Watched {
            socket,
            requests: AtomicUsize::new(0),
            idle_since_ms: AtomicU64::new(inner.now_ms()),
            idle_limit_ms: u64::try_from(idle_limit_ms).unwrap_or(u64::MAX),
            has_partial_head: AtomicBool::new(false),
        });
        *open.count_by_network.entry(network).or_default() += 1;
        open.last_id += 1;
        let id = open.last_id;
        let group = if is_spare { &mut open.spare } else { &mut open.by_id };
        group.insert(id, Arc::clone(&watched));
        inner.metrics.http_connections_active.inc();
        let exchange = Exchange::default();
        Ok(OpenConnection { connections: self.clone(), id, network, is_spare, watched, exchange })
    }
}

impl Open {
    /// Shuts down the spare connection that has been idle the longest, so a probe can be accepted.
    fn make_room(&mut self) -> Result<(), Refusal> {
        let oldest = self
            .spare
            .iter()
            .filter(|(_, watched)| watched.is_idle())
            .min_by_key(|(_, watched)| watched.idle_since_ms.load(Ordering::SeqCst))
            .map(|(id, _)| *id);
        let evicted = oldest.and_then(|id| self.spare.remove(&id)).ok_or(Refusal::ConnectionLimit)?;
        let _already_closed = evicted.socket.shutdown(Shutdown::Both);
        Ok(())
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts and logs a refusal.
    fn refuse(&self, refusal: Refusal) {
        let reason = refusal.as_str();
        self.metrics.http_connections_refused_total.with_label_values(&[reason]).inc();
        let limit = self.log_limits.get(&refusal);
        if let Some(omitted) = limit.and_then(|limit| limit.admit(self.clock.monotonic())) {
            warn!(self.logger, "connection refused"; "reason" => reason, "suppressed" => omitted);
        }
    }

    /// Shuts down connections that have been idle for too long.
    fn close_idle(&self) {
        let now_ms = self.now_ms();
        let expired: Vec<_> = {
            let open = self.open();
            let all = open.by_id.values().chain(open.spare.values());
            all.filter(|watched| watched.is_idle_too_long(now_ms)).cloned().collect()
        };
        for watched in expired {
            let is_closed = watched.socket.shutdown(Shutdown::Both).is_ok();
            if is_closed && watched.has_partial_head.load(Ordering::SeqCst) {
                self.refuse(Refusal::NoRequest);
            }
        }
    }
}

async fn close_idle(connections: Weak<Inner>, check_interval: Duration) {
    loop {
        tokio::time::sleep(check_interval).await;
        let Some(connections) = connections.upgrade() else { return };
        connections.close_idle();
    }
}

impl OpenConnection {
    /// The state shared by the stream and the HTTP service.
    pub(super) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Whether this is a spare connection, on which only health probes are answered.
    pub(super) fn is_spare(&self) -> bool {
        self.is_spare
    }

    /// Whether no request is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.watched.is_idle()
    }

    /// Records whether part of a request head has been received.
    pub(super) fn set_partial_head(&self, is_partial: bool) {
        self.watched.has_partial_head.store(is_partial, Ordering::SeqCst);
    }

    /// Counts and logs a refusal of this connection.
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.connections.inner.refuse(refusal);
    }

    /// Shuts the connection down immediately.
    fn shut_down(&self) {
        let _already_closed = self.watched.socket.shutdown(Shutdown::Both);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let inner = &self.connections.inner;
        let mut open = inner.open();
        open.by_id.remove(&self.id);
        open.spare.remove(&self.id);
        if let Some(count) = open.count_by_network.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.count_by_network.remove(&self.network);
            }
        }
        inner.metrics.http_connections_active.dec();
    }
}
