//! Opens all connections to PostgreSQL. The pool, the listener, leader locks and migrations use this module, so the TLS
//! settings apply to all of them.

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
use crate::storage::session::DatabaseSession;
use crate::storage::wire::{WatchPlain, WatchTls, Watched};

/// The port if the URL has none.
const DEFAULT_PORT: u16 = 5432;

/// The default timeout for a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens sessions of one database. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    /// With `sslmode=prefer`: whether the server refused TLS on the last attempt.
    is_plain: Arc<AtomicBool>,
}

impl Connector {
    /// Parses a database URL and reads the certificate file that it names.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the URL or the certificate file is invalid.
    pub fn new(url: &str) -> Result<Self> {
        let url = DatabaseUrl::parse(url)?;
        let tls = match url.config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(client_config(&url)?)),
        };
        Ok(Self { config: url.config, tls, is_plain: Arc::default() })
    }

    /// Restricts the connector to servers that accept writes, regardless of the URL.
    #[must_use]
    pub fn for_writing(mut self) -> Self {
        self.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        self
    }

    /// Opens a session.
    ///
    /// # Errors
    /// [`ConnectionError::BadConnection`] if the server is unreachable, fails TLS verification, is read-only although
    /// writes are required, or refuses the connection.
    pub async fn connect(&self) -> std::result::Result<DatabaseSession, ConnectionError> {
        self.open(Arc::default()).await
    }

    /// Opens a session whose state is recorded in `facts`.
    pub(super) async fn open(
        &self,
        facts: Arc<SessionFacts>,
    ) -> std::result::Result<DatabaseSession, ConnectionError> {
        if self.config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
            return self.open_local(facts).await;
        }
        let failed = |error| ConnectionError::BadConnection(describe(&error));
        let prefers = self.config.get_ssl_mode() == SslMode::Prefer;
        if let Some(tls) = self.tls.clone().filter(|_| !self.is_plain.load(Ordering::Relaxed)) {
            let tls = WatchTls { tls, facts: Arc::clone(&facts) };
            let (client, connection) = self.config.connect(tls).await.map_err(failed)?;
            if facts.has_received() || !prefers {
                return DatabaseSession::begin(client, connection, facts).await;
            }
            // The server does not support TLS, so this connection is in clear text and not watched. It is dropped, and a
            // watched connection is opened instead.
            self.is_plain.store(true, Ordering::Relaxed);
        }
        // `WatchPlain` takes the place of TLS, but the connection stays in clear text.
        let mut config = self.config.clone();
        config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        let connected = config.connect(WatchPlain(Arc::clone(&facts))).await;
        let (client, connection) = connected.map_err(|error| {
            self.is_plain.store(false, Ordering::Relaxed);
            failed(error)
        })?;
        DatabaseSession::begin(client, connection, facts).await
    }

    /// The `server_version` that a server reports at the start of a connection to `database`; `None` if it refuses.
    pub(super) async fn server_version(&self, database: &str) -> Option<String> {
        const PARAMETER: &str = "server_version";
        let mut config = self.config.clone();
        config.dbname(database).target_session_attrs(TargetSessionAttrs::Any);
        let version = match self.tls.clone() {
            Some(tls) => config.connect(tls).await.ok()?.1.parameter(PARAMETER)?.to_owned(),
            None => config.connect(NoTls).await.ok()?.1.parameter(PARAMETER)?.to_owned(),
        };
        Some(version)
    }

    /// Opens a session over the first Unix socket that accepts one.
    async fn open_local(
        &self,
        facts: Arc<SessionFacts>,
    ) -> std::result::Result<DatabaseSession, ConnectionError> {
        let mut config = self.config.clone();
        config.ssl_mode(SslMode::Disable);
        let ports = config.get_ports();
        let mut refused = ConnectionError::BadConnection("the URL contains no Unix socket".to_owned());
        for (index, host) in config.get_hosts().iter().enumerate() {
            let Host::Unix(folder) = host else { continue };
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
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
) -> std::result::Result<DatabaseSession, ConnectionError> {
    let failed = |cause: &dyn std::fmt::Display| ConnectionError::BadConnection(cause.to_string());
    let timeout = config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
    let connecting = async {
        let stream = UnixStream::connect(socket).await.map_err(|error| failed(&error))?;
        let connected = config.connect_raw(Watched::new(stream, &facts), NoTls).await;
        connected.map_err(|error| failed(&describe(&error)))
    };
    let (client, connection) =
        tokio::time::timeout(timeout, connecting).await.map_err(|late| failed(&late))??;
    let mut session = DatabaseSession::begin(client, connection, facts).await?;
    if config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite
        && !accepts_writes(&mut session).await?
    {
        return Err(failed(&"the database is read-only"));
    }
    Ok(session)
}

/// Whether transactions in this session can write: false on a standby or with `default_transaction_read_only`.
async fn accepts_writes(session: &mut DatabaseSession) -> std::result::Result<bool, ConnectionError> {
    use diesel_async::RunQueryDsl as _;

    let is_read_only = diesel::dsl::sql::<Bool>("current_setting('transaction_read_only')::bool");
    let is_read_only: bool = diesel::select(is_read_only)
        .get_result(session)
        .await
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(!is_read_only)
}

/// Opens one connection to the database at `url`, on a server that accepts writes.
///
/// # Errors
/// [`Error::Configuration`] if the URL is invalid, [`Error::Unavailable`] if the database is unreachable.
pub async fn connect(url: &str) -> Result<AsyncPgConnection> {
    let session = Connector::new(url)?.for_writing().connect().await;
    let failed = |error| Error::unavailable("database", describe_connection(&error));
    Ok(session.map_err(failed)?.into_connection())
}

/// The error with its chain of causes, because the informative cause may be at any level.
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
    let verifier: Arc<dyn ServerCertVerifier> = match url.verification {
        ServerVerification::AuthorityAndName => authorities()?,
        ServerVerification::Authority => {
            Arc::new(PartialVerifier { authorities: Some(authorities()?), algorithms })
        }
        ServerVerification::None => Arc::new(PartialVerifier { authorities: None, algorithms }),
    };
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The certificate authorities in the file that the URL names, or the public ones.
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
        return Err(unusable(&"it contains no certificate"));
    }
    Ok(roots)
}

/// Server verification for an `sslmode` below `verify-full`: a certificate of the authorities with any name, or any
/// certificate. In both cases the server must prove that it holds the certificate's key.
#[derive(Debug)]
struct PartialVerifier {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PartialVerifier {
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
            // The name is checked last, so everything else is valid.
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
