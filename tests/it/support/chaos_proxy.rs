//! A TCP proxy whose link can be slow, silent or cut.
//!
//! It runs in its own thread, so a busy test does not delay it.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// The server that the proxy connects to.
#[derive(Debug, Clone)]
pub(crate) enum Upstream {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// Round-robin over these addresses. The test may change the list.
    AnyOf(Arc<Mutex<VecDeque<SocketAddr>>>),
}

/// A connection to the upstream server.
enum ServerConnection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Upstream {
    async fn connect(&self) -> Option<ServerConnection> {
        let address = match self {
            Self::Unix(path) => return Some(ServerConnection::Unix(UnixStream::connect(path).await.ok()?)),
            Self::Tcp(address) => *address,
            Self::AnyOf(addresses) => {
                let mut addresses = addresses.lock().unwrap();
                let next = addresses.pop_front()?;
                addresses.push_back(next);
                next
            }
        };
        let server = TcpStream::connect(address).await.ok()?;
        server.set_nodelay(true).ok()?;
        Some(ServerConnection::Tcp(server))
    }
}

/// The state of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Everything is forwarded immediately.
    Up,
    /// Everything is forwarded with this delay.
    Slow(Duration),
    /// Nothing is forwarded, and no connection is closed. Held data is forwarded when the link is up again.
    Silent,
    /// Connections are closed, and new ones are closed immediately.
    Cut,
}

/// A running proxy, which stops when it is dropped.
pub(crate) struct ChaosProxy {
    address: SocketAddr,
    link: Arc<watch::Sender<Link>>,
    open: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
}

impl ChaosProxy {
    /// Starts a proxy on a free loopback port.
    pub(crate) fn start(upstream: Upstream) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (link, watched) = watch::channel(Link::Up);
        let (end, ended) = tokio::sync::oneshot::channel();
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(listener, upstream, watched, counted) => {}
                    _ = ended => {}
                }
            });
        });
        Self { address, link: Arc::new(link), open, thread: Some(thread), end: Some(end) }
    }

    /// The address that the proxy listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of open connections.
    pub(crate) fn connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Changes the link for existing and new connections.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: TcpListener,
    upstream: Upstream,
    link: watch::Receiver<Link>,
    open: Arc<AtomicUsize>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if *link.borrow() == Link::Cut {
            continue;
        }
        let forwarding = forward_connection(client, upstream.clone(), link.clone());
        let open = Arc::clone(&open);
        tokio::spawn(async move {
            open.fetch_add(1, Ordering::SeqCst);
            forwarding.await;
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn forward_connection(mut client: TcpStream, upstream: Upstream, link: watch::Receiver<Link>) {
    client.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.split();
    match upstream.connect().await {
        Some(ServerConnection::Tcp(mut server)) => {
            let (from_server, to_server) = server.split();
            both_ways(from_client, to_server, from_server, to_client, link).await;
        }
        Some(ServerConnection::Unix(mut server)) => {
            let (from_server, to_server) = server.split();
            both_ways(from_client, to_server, from_server, to_client, link).await;
        }
        None => {}
    }
}

async fn both_ways(
    from_client: impl AsyncRead + Unpin,
    to_server: impl AsyncWrite + Unpin,
    from_server: impl AsyncRead + Unpin,
    to_client: impl AsyncWrite + Unpin,
    link: watch::Receiver<Link>,
) {
    let mut watched = link.clone();
    tokio::select! {
        _ = async {
            futures_util::join!(pump(from_client, to_server, link.clone()), pump(from_server, to_client, link))
        } => {}
        _ = watched.wait_for(|link| *link == Link::Cut) => {}
    }
}

/// Forwards bytes in one direction until the sender closes its side.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut link: watch::Receiver<Link>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let state = *link.borrow();
        match state {
            Link::Slow(delay) => tokio::time::sleep(delay).await,
            Link::Silent => {
                let _ = link.wait_for(|link| *link != Link::Silent).await;
            }
            Link::Up | Link::Cut => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
