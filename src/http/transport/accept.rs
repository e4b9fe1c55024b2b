//! Accepts connections: counts them and performs the TLS handshake if a certificate is configured.
//!
//! A client has [`CLIENT_HELLO_TIMEOUT`] for its first message and `server.request_head_timeout_ms` for the whole
//! handshake. Pending handshakes do not delay other connections: they are limited only by the number of connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::Protocol;
use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use rustls::server::Acceptor as ClientHelloReader;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::ClientStream;
use crate::http::connections::{Connections, Refusal};

/// Maximum time for the ClientHello message.
const CLIENT_HELLO_TIMEOUT: Duration = Duration::from_secs(2);

/// An accepted connection, as the HTTP server expects it.
pub(in crate::http) type Accepted = (ClientStream, Protocol, Option<SocketAddr>);

/// Accepts connections. Cheap to clone.
#[derive(Clone)]
pub(in crate::http) struct Acceptor {
    /// Counts and limits connections.
    pub(in crate::http) connections: Connections,
    /// The TLS configuration, if TLS is enabled.
    pub(in crate::http) tls: Option<Arc<ServerConfig>>,
    /// Maximum time for the whole handshake.
    pub(in crate::http) handshake_timeout: Duration,
}

impl Acceptor {
    /// Accepts a connection. Fails if the connection limit is exceeded or the TLS handshake fails.
    pub(in crate::http) async fn accept(self, stream: TcpStream) -> io::Result<Accepted> {
        let Some(connection) = self.connections.admit(&stream).map(Rc::new) else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let peer = stream.peer_addr().ok();
        let Some(config) = self.tls.clone() else {
            return Ok((ClientStream::new(stream, connection, false), Protocol::Http1, peer));
        };
        let handshake = self.handshake(stream, config).await;
        let stream = handshake.inspect_err(|_| connection.refuse(Refusal::Handshake))?;
        let is_http_2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let protocol = if is_http_2 { Protocol::Http2 } else { Protocol::Http1 };
        Ok((ClientStream::new(stream, connection, is_http_2), protocol, peer))
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        config: Arc<ServerConfig>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let hello_timeout = CLIENT_HELLO_TIMEOUT.min(self.handshake_timeout);
        let handshake = async {
            let hello = LazyConfigAcceptor::new(ClientHelloReader::default(), stream);
            let hello = in_time(hello_timeout, hello).await?;
            hello.into_stream(config).await
        };
        in_time(self.handshake_timeout, handshake).await
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}
