//! The one way in which Aval connects to PostgreSQL: the pool, the listener, leaders and migrations all come through
//! here, so that none of them forgets TLS.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::result::ConnectionError;
use diesel::sql_types::Bool;
use diesel_async::AsyncPgConnection;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::UnixStream;
use tokio_postgres::NoTls;
use tokio_postgres::config::{Host, SslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{DatabaseUrl, ServerVerification};
use crate::error::{Error, Result};
use crate::storage::describe_connection;
use crate::storage::fitness::SessionFacts;
use crate::storage::session::Session;
use crate::storage::wire::{WatchPlain, WatchTls, Watched};

/// Where PostgreSQL listens when the URL names no port.
const DEFAULT_PORT: u16 = 5432;

/// Longest wait for a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the other end to acknowledge what was sent.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);
/// How often a silent connection is tried.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// How a database is reached. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    /// With `sslmode=prefer`: the server spoke no TLS when it was last tried.
    is_plain: Arc<AtomicBool>,
}

impl Connector {
    /// Reads a database's URL and what it refers to.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the URL or the file of its authorities cannot be used.
    pub fn new(url: &str) -> Result<Self> {
        let mut url = DatabaseUrl::parse(url)?;
        notice_loss(&mut url.config);
        let tls = match url.config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(client_config(&url)?)),
        };
        Ok(Self { config: url.config, tls, is_plain: Arc::default() })
    }

    /// The same for work that writes: a server that takes no writes is passed over, whatever the URL says.
    #[must_use]
    pub fn for_writing(mut self) -> Self {
        self.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        self
    }

    /// Opens a session.
    ///
    /// # Errors
    /// [`ConnectionError::BadConnection`] when the server cannot be reached, does not prove who it is, takes no writes
    /// although it should, or refuses.
    pub async fn connect(&self) -> std::result::Result<Session, ConnectionError> {
        self.open(Arc::default()).await
    }

    /// Opens a session whose facts are kept in `facts`.
    pub(super) async fn open(
        &self,
        facts: Arc<SessionFacts>,
    ) -> std::result::Result<Session, ConnectionError> {
        if self.config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
            return self.open_local(facts).await;
        }
        let failed = |error| ConnectionError::BadConnection(describe(&error));
        let prefers = self.config.get_ssl_mode() == SslMode::Prefer;
        if let Some(tls) = self.tls.clone().filter(|_| !self.is_plain.load(Ordering::Relaxed)) {
            let tls = WatchTls { tls, facts: Arc::clone(&facts) };
            let (client, connection) = self.config.connect(tls).await.map_err(failed)?;
            if facts.has_spoken() || !prefers {
                return Session::begin(client, connection, facts).await;
            }
            // The server speaks no TLS, so that this connection is in clear text and not watched.
            self.is_plain.store(true, Ordering::Relaxed);
        }
        let mut config = self.config.clone();
        config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        let connected = config.connect(WatchPlain(Arc::clone(&facts))).await;
        let (client, connection) = connected.map_err(|error| {
            self.is_plain.store(false, Ordering::Relaxed);
            failed(error)
        })?;
        Session::begin(client, connection, facts).await
    }

    /// Opens a session over the first Unix socket that leads to one.
    async fn open_local(&self, facts: Arc<SessionFacts>) -> std::result::Result<Session, ConnectionError> {
        let mut config = self.config.clone();
        config.ssl_mode(SslMode::Disable);
        let ports = config.get_ports();
        let mut refused = ConnectionError::BadConnection("the URL names no Unix socket".to_owned());
        for (place, host) in config.get_hosts().iter().enumerate() {
            let Host::Unix(folder) = host else { continue };
            let port = ports.get(place).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
            let socket = folder.join(format!(".s.PGSQL.{port}"));
            match open_socket(&config, &socket, Arc::clone(&facts)).await {
                Ok(session) => return Ok(session),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}

async fn open_socket(
    config: &tokio_postgres::Config,
    socket: &Path,
    facts: Arc<SessionFacts>,
) -> std::result::Result<Session, ConnectionError> {
    let failed = |cause: &dyn std::fmt::Display| ConnectionError::BadConnection(cause.to_string());
    let patience = config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
    let connecting = async {
        let stream = UnixStream::connect(socket).await.map_err(|error| failed(&error))?;
        let connected = config.connect_raw(Watched::new(stream, &facts), NoTls).await;
        connected.map_err(|error| failed(&describe(&error)))
    };
    let (client, connection) =
        tokio::time::timeout(patience, connecting).await.map_err(|late| failed(&late))??;
    let mut session = Session::begin(client, connection, facts).await?;
    if config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite
        && !takes_writes(&mut session).await?
    {
        return Err(failed(&"the database takes no writes"));
    }
    Ok(session)
}

/// Whether transactions on this session can write: not on a standby, nor where `default_transaction_read_only` is on.
async fn takes_writes(session: &mut Session) -> std::result::Result<bool, ConnectionError> {
    use diesel_async::RunQueryDsl as _;

    let is_read_only = diesel::dsl::sql::<Bool>("current_setting('transaction_read_only')::bool");
    let is_read_only: bool = diesel::select(is_read_only)
        .get_result(session)
        .await
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(!is_read_only)
}

/// Has the operating system give up a connection within seconds when nobody is left at the other end, where the URL
/// does not say otherwise: whoever waits for an answer on it then tries again instead of waiting for hours.
fn notice_loss(config: &mut tokio_postgres::Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED);
    }
    // Two hours: the library's default, which nobody asks for on purpose.
    if config.get_keepalives_idle() >= Duration::from_secs(2 * 60 * 60) {
        config.keepalives_idle(KEEPALIVE);
        config.keepalives_interval(KEEPALIVE);
        config.keepalives_retries(2);
    }
}

/// Opens one connection to the database at `url`, on a server that takes writes.
///
/// # Errors
/// [`Error::Configuration`] when the URL cannot be used, [`Error::Unavailable`] when the database cannot be reached.
pub async fn connect(url: &str) -> Result<AsyncPgConnection> {
    let session = Connector::new(url)?.for_writing().connect().await;
    let failed = |error| Error::unavailable("database", describe_connection(&error));
    Ok(session.map_err(failed)?.into_connection())
}

/// An error with its causes: which of them says what is wrong differs.
fn describe(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

fn client_config(url: &DatabaseUrl) -> Result<ClientConfig> {
    let provider = CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?;
    let authorities = || {
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots(url)?), Arc::clone(&provider))
            .build()
            .map_err(Error::configuration)
    };
    let verifier: Arc<dyn ServerCertVerifier> = match url.proof {
        ServerVerification::AuthorityAndName => authorities()?,
        ServerVerification::Authority => {
            Arc::new(LessThanFull { authorities: Some(authorities()?), algorithms })
        }
        ServerVerification::None => Arc::new(LessThanFull { authorities: None, algorithms }),
    };
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The authorities of the file that the URL names, or the public ones.
fn roots(url: &DatabaseUrl) -> Result<RootCertStore> {
    let Some(path) = &url.root_certificate_file else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let unusable = |cause: &dyn std::fmt::Display| {
        Error::configuration(format_args!("sslrootcert {} cannot be used: {cause}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"it holds no certificate"));
    }
    Ok(roots)
}

/// What `sslmode` asks of a server below `verify-full`: a certificate of the authorities, whatever the name in it, or
/// none in particular. That the server has the certificate's key is proved in any case.
#[derive(Debug)]
struct LessThanFull {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for LessThanFull {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        match authorities.verify_server_cert(certificate, intermediates, name, ocsp_response, now) {
            // The name is looked at last: everything else was in order.
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
