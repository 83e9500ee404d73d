//! Which certificates are trusted and which one is shown; TLS over a connection.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, RootCertStore, SignatureScheme, client::ResolvesClientCert, sign::CertifiedKey,
};
use rustls_pki_types::ServerName;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{BoxedIo, Error, OutboundOptions};
use crate::tls::{self, Identity, PemFile, Renewable, Renewal};

/// What every TLS connection starts from.
pub(super) struct Settings {
    roots: Arc<RootCertStore>,
    identity: Option<Arc<ClientIdentity>>,
}

impl Settings {
    pub(super) fn new(options: &OutboundOptions) -> Result<Self, Error> {
        let bundle = options.ca_bundle.as_deref().map(PemFile::read).transpose();
        let roots = roots(bundle.map_err(Error::CaBundle)?.as_ref())?;
        let identity = match (&options.client_certificate, &options.client_key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let identity = ClientIdentity::new(certificate.clone(), key.clone());
                Some(Arc::new(identity.map_err(Error::ClientCertificate)?))
            }
            (Some(_), None) => return Err(Error::HalfAnIdentity("client_key")),
            (None, Some(_)) => return Err(Error::HalfAnIdentity("client_certificate")),
        };
        Ok(Self { roots, identity })
    }

    /// With rustls' default versions and the given ALPN protocols, best first.
    pub(super) fn config(&self, alpn: &[&[u8]]) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(Error::TlsSetup)?
            .with_root_certificates(Arc::clone(&self.roots));
        let mut config = match &self.identity {
            Some(identity) => {
                let identity: Arc<dyn ResolvesClientCert> = Arc::clone(identity) as _;
                builder.with_client_cert_resolver(identity)
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }
}

/// The system's roots and those of `bundle`.
fn roots(bundle: Option<&PemFile>) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    let (_, unusable) = roots.add_parsable_certificates(system.certs);
    if let Some(bundle) = bundle {
        bundle.add_to(&mut roots).map_err(Error::CaBundle)?;
    }
    if roots.is_empty() {
        tracing::warn!(
            errors = ?system.errors,
            "no trusted certificates: every https connection will fail; install \
             `ca-certificates` or set a CA bundle"
        );
    } else {
        tracing::debug!(trusted = roots.len(), unusable, errors = ?system.errors, "trusted roots");
    }
    Ok(Arc::new(roots))
}

/// The certificate that is shown to a server that asks for one. Its two small files are
/// read again for each handshake: a dialler has no task of its own that could watch them.
#[derive(Debug)]
struct ClientIdentity {
    certificate: PathBuf,
    key: PathBuf,
    loaded: Mutex<Renewable<Identity, Arc<CertifiedKey>>>,
}

impl ClientIdentity {
    fn new(certificate: PathBuf, key: PathBuf) -> Result<Self, tls::Error> {
        let files = Identity::read(&certificate, &key)?;
        let loaded = Renewable::new(files, Identity::certified_key)?;
        Ok(Self {
            certificate,
            key,
            loaded: Mutex::new(loaded),
        })
    }
}

impl ResolvesClientCert for ClientIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let read = Identity::read(&self.certificate, &self.key);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded.offer(read, Identity::certified_key) {
            Ok(Renewal::Unchanged) => {}
            Ok(Renewal::Renewed) => tracing::info!("using the renewed client certificate"),
            Err(error) => tracing::warn!(
                %error, "the client certificate before stays in use: the new one cannot be used"
            ),
        }
        Some(Arc::clone(loaded.current()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// TLS with the host, over a connection that is there.
pub(super) async fn connect(
    config: &Arc<ClientConfig>,
    host: &str,
    io: BoxedIo,
) -> Result<TlsStream<BoxedIo>, Error> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| Error::Url {
        reason: "its host is not a valid TLS name".to_owned(),
    })?;
    let connected = TlsConnector::from(Arc::clone(config))
        .connect(name, io)
        .await;
    connected.map_err(|source| Error::Tls {
        host: host.to_owned(),
        source,
    })
}

/// What rustls says inside the error of a connection, if it was about TLS.
pub(super) fn cause(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    let deeper = || inner.downcast_ref().and_then(cause);
    inner.downcast_ref().or_else(deeper)
}
