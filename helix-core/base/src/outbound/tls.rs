//! Which certificates are trusted: the system's, and a bundle on top.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::Error;

/// The system's roots and those of `bundle`.
pub(super) fn roots(bundle: Option<&Path>) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    let (_, unusable) = roots.add_parsable_certificates(system.certs);
    if let Some(bundle) = bundle {
        add_bundle(&mut roots, bundle)?;
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

fn add_bundle(roots: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    let failed = |reason: String| Error::CaBundle {
        path: path.to_owned(),
        reason,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("it holds no PEM certificate".to_owned()));
    }
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}

/// A client configuration over these roots, with rustls' default versions and the
/// given ALPN protocols, best first.
pub(super) fn client_config(
    roots: &Arc<RootCertStore>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::TlsSetup)?
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}
