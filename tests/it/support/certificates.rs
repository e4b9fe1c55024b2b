//! Certificate authorities for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes the certificate of the authority and returns the file.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("authority.pem");
        std::fs::write(&path, self.0.pem()).unwrap();
        path
    }

    /// Writes a new certificate for `names` and its key, and returns the files.
    pub(crate) fn write_pair(&self, names: &[&str], folder: &Path) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        let (certificate_file, key_file) = (folder.join("server.crt"), folder.join("server.key"));
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        std::fs::write(&certificate_file, certificate.pem()).unwrap();
        (certificate_file, key_file)
    }

    /// An HTTP client that trusts only this authority and uses these protocols.
    pub(crate) fn client(&self, protocols: &[&str]) -> awc::Client {
        self.client_with(protocols, ALL_VERSIONS)
    }

    /// Like [`Self::client`], with only these versions of TLS.
    pub(crate) fn client_with(
        &self,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> awc::Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        awc::Client::builder().connector(awc::Connector::new().rustls_0_23(Arc::new(config))).finish()
    }
}
