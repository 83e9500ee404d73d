//! TLS from files, which are looked at again while they are in use.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use helix_base::tls::{self, Identity, PemFile, Renewable, Renewal};
use rustls::{
    RootCertStore, ServerConfig,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Error, Peer};
use crate::options::{ClientCertificates, TlsOptions};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a client that is refused may take to hear why, and how much it may still say.
const PARTING: Duration = Duration::from_secs(1);
const PARTING_BYTES: u64 = 64 << 10;

/// What every handshake is made with, which changes with the files.
pub(super) struct Tls {
    options: TlsOptions,
    config: Mutex<Renewable<Files, Arc<ServerConfig>>>,
}

/// The files as they stood when they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    identity: Identity,
    client_ca: Option<PemFile>,
}

impl Tls {
    pub(super) fn new(options: &TlsOptions) -> Result<Self, Error> {
        check(options)?;
        let clients = options.client_certificates;
        let config = Files::read(options)
            .and_then(|files| Renewable::new(files, |files| files.config(clients)));
        Ok(Self {
            options: options.clone(),
            config: Mutex::new(config?),
        })
    }

    fn config(&self) -> MutexGuard<'_, Renewable<Files, Arc<ServerConfig>>> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the files now and then, for ever. What cannot be used is refused with a
    /// line in the log, and what was there stays; connections that are open are not
    /// touched.
    pub(super) async fn watch(&self) {
        loop {
            tokio::time::sleep(self.options.reload_interval).await;
            let options = self.options.clone();
            match tokio::task::spawn_blocking(move || Files::read(&options)).await {
                Ok(read) => self.look(read),
                Err(error) => tracing::error!(%error, "cannot look at the TLS files"),
            }
        }
    }

    fn look(&self, read: Result<Files, tls::Error>) {
        let clients = self.options.client_certificates;
        match self.config().offer(read, |files| files.config(clients)) {
            Ok(Renewal::Unchanged) => {}
            Ok(Renewal::Renewed) => {
                tracing::info!("new connections get the renewed TLS certificate");
            }
            Err(error) => tracing::error!(
                %error,
                "the TLS files have changed to something that cannot be used: what was there \
                 before stays in use until they are corrected"
            ),
        }
    }

    /// TLS on a connection that was accepted; `None` where that failed, as the log says.
    pub(super) async fn handshake(
        &self,
        socket: TcpStream,
        peer: Peer,
    ) -> Option<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(Arc::clone(self.config().current()));
        let shaking = acceptor.accept(socket).into_fallible();
        match tokio::time::timeout(HANDSHAKE, shaking).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err((error, socket))) => {
                tell(&error, peer);
                part(socket).await;
                None
            }
            Err(_) => {
                tracing::debug!(peer = %peer.0, "TLS handshake took too long");
                None
            }
        }
    }
}

/// Refuses options that do not go together.
fn check(options: &TlsOptions) -> Result<(), Error> {
    let wrong = |option: &str, reason: &str| {
        Err(Error::Option {
            option: format!("tls.{option}"),
            reason: reason.to_owned(),
        })
    };
    let off = options.client_certificates == ClientCertificates::Off;
    if off && options.client_ca.is_some() {
        return wrong(
            "client_ca",
            "it has no effect while `tls.client_certificates` is \"off\": make that \
             \"optional\" or \"required\"",
        );
    }
    if !off && options.client_ca.is_none() {
        return wrong(
            "client_certificates",
            "name the authorities that issue them in `tls.client_ca`",
        );
    }
    if options.reload_interval.is_zero() {
        return wrong("reload_interval_ms", "make it at least 1");
    }
    Ok(())
}

impl Files {
    fn read(options: &TlsOptions) -> Result<Self, tls::Error> {
        let client_ca = options.client_ca.as_deref().map(PemFile::read);
        Ok(Self {
            identity: Identity::read(&options.certificate, &options.key)?,
            client_ca: client_ca.transpose()?,
        })
    }

    fn config(&self, clients: ClientCertificates) -> Result<Arc<ServerConfig>, tls::Error> {
        let builder = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| self.identity.fault(error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => builder.with_client_cert_verifier(verifier(authorities, clients)?),
        };
        let identity = SingleCertAndKey::from(self.identity.certified_key()?);
        let mut config = builder.with_cert_resolver(Arc::new(identity));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn verifier(
    authorities: &PemFile,
    clients: ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, tls::Error> {
    let mut roots = RootCertStore::empty();
    authorities.add_to(&mut roots)?;
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider());
    if clients == ClientCertificates::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| authorities.fault(error))
}

/// Somebody has to act on a certificate that is refused; the rest of what fails on an
/// open port is nobody's business.
fn tell(error: &io::Error, peer: Peer) {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    if let Some(rustls::Error::InvalidCertificate(reason)) = cause {
        tracing::info!(
            peer = %peer.0, %reason,
            "refused a client for its certificate: it must be valid now, and issued by an \
             authority in `tls.client_ca`"
        );
    } else {
        tracing::debug!(peer = %peer.0, %error, "TLS handshake failed");
    }
}

/// Hangs up once the client has had time to read why: closing a socket with something
/// unread in it would take the last words back.
async fn part(mut socket: TcpStream) {
    let reading = async {
        socket.shutdown().await?;
        let mut rest = socket.take(PARTING_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    match tokio::time::timeout(PARTING, reading).await {
        Ok(Ok(_)) | Err(_) => {}
        Ok(Err(error)) => tracing::trace!(%error, "a refused client left"),
    }
}
