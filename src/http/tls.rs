//! TLS termination in the server, with certificate reload.
//!
//! The files are read again at an interval and compared by content, because modification times are unreliable when an
//! orchestrator swaps symbolic links. An unusable pair is logged and the current certificate stays in use: a partially
//! written file must not interrupt the service.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use slog::{Logger, error, info};

use crate::config::{TlsSettings, TlsVersion};
use crate::error::{Error, Result};

/// The contents of both files.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    certificates: Vec<u8>,
    private_key: Vec<u8>,
}

impl Pair {
    fn read(settings: &TlsSettings) -> Result<Self> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| {
                Error::configuration(format_args!("server.tls: {} cannot be read: {error}", path.display()))
            })
        };
        Ok(Self {
            certificates: read(&settings.certificate_file)?,
            private_key: read(&settings.private_key_file)?,
        })
    }

    fn certified_key(&self) -> Result<CertifiedKey> {
        let unusable = |what: &str, cause: &dyn std::fmt::Display| {
            Error::configuration(format_args!("server.tls.{what} cannot be used: {cause}"))
        };
        let chain = CertificateDer::pem_slice_iter(&self.certificates)
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|error| unusable("certificate_file", &error))?;
        if chain.is_empty() {
            return Err(unusable("certificate_file", &"it contains no certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.private_key)
            .map_err(|error| unusable("private_key_file", &error))?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| unusable("private_key_file", &error))
    }
}

/// The process-wide crypto provider, or *ring* if none is installed.
fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
}

/// Serves the newest usable certificate to every client.
struct CurrentCertificate(RwLock<Arc<CertifiedKey>>);

impl std::fmt::Debug for CurrentCertificate {
    /// Omits the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CurrentCertificate")
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The TLS configuration of the server. The files are monitored while it is in use. Fails with [`Error::Configuration`]
/// if the files cannot be used.
pub(super) fn server_config(settings: &TlsSettings, logger: &Logger) -> Result<ServerConfig> {
    let pair = Pair::read(settings)?;
    let current = Arc::new(CurrentCertificate(RwLock::new(Arc::new(pair.certified_key()?))));
    let reloading = reload_when_changed(settings.clone(), pair, Arc::downgrade(&current), logger.clone());
    actix_rt::spawn(reloading);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(settings.min_version))
        .map_err(Error::internal)?
        .with_no_client_auth()
        .with_cert_resolver(current);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The versions from `min` on.
fn versions(min: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match min {
        TlsVersion::V1_2 => vec![&TLS13, &TLS12],
        TlsVersion::V1_3 => vec![&TLS13],
    }
}

async fn reload_when_changed(
    settings: TlsSettings,
    mut in_use: Pair,
    current: Weak<CurrentCertificate>,
    logger: Logger,
) {
    let mut refused = None;
    loop {
        tokio::time::sleep(settings.reload_interval().max(Duration::from_millis(1))).await;
        let Some(current) = current.upgrade() else { return };
        let paths = settings.clone();
        let read = tokio::task::spawn_blocking(move || Pair::read(&paths)).await;
        let found = match read.unwrap_or_else(|panic| Err(Error::internal(panic))) {
            Ok(pair) if pair == in_use || refused.as_ref() == Some(&pair) => continue,
            Ok(pair) => pair,
            Err(error) => {
                error!(logger, "the certificate cannot be read; the current one stays in use"; error);
                continue;
            }
        };
        match found.certified_key() {
            Ok(key) => {
                *current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                info!(logger, "certificate reloaded");
                in_use = found;
            }
            Err(error) => {
                error!(logger, "the new certificate cannot be used; the current one stays in use"; error);
                refused = Some(found);
            }
        }
    }
}
