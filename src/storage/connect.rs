//! The one way in which Aval connects to PostgreSQL: the pool, the listener, leaders and migrations all come through here, so
//! that none of them forgets TLS.

use std::sync::Arc;
use std::time::Duration;

use diesel::result::ConnectionError;
use diesel_async::AsyncPgConnection;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::NoTls;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{DatabaseUrl, ServerProof};
use crate::error::{Error, Result};

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
        Ok(Self { config: url.config, tls })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`ConnectionError::BadConnection`] when the server cannot be reached, does not prove who it is, or refuses.
    pub async fn connect(&self) -> std::result::Result<AsyncPgConnection, ConnectionError> {
        let failed = |error: tokio_postgres::Error| ConnectionError::BadConnection(describe(&error));
        match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(failed)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(failed)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        }
    }
}

/// Has the operating system give up a connection within seconds when nobody is left at the other end, where the URL does
/// not say otherwise: whoever waits for an answer on it then tries again instead of waiting for hours.
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

/// Opens one connection to the database at `url`.
///
/// # Errors
/// [`Error::Configuration`] when the URL cannot be used, [`Error::Unavailable`] when the database cannot be reached.
pub async fn connect(url: &str) -> Result<AsyncPgConnection> {
    Connector::new(url)?.connect().await.map_err(|error| Error::unavailable("database", error))
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
        ServerProof::AuthorityAndName => authorities()?,
        ServerProof::Authority => Arc::new(LessThanFull { authorities: Some(authorities()?), algorithms }),
        ServerProof::None => Arc::new(LessThanFull { authorities: None, algorithms }),
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

/// What `sslmode` asks of a server below `verify-full`: a certificate of the authorities, whatever the name in it, or none
/// in particular. That the server has the certificate's key is proved in any case.
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
