//! Certificates and keys from PEM files, which may be renewed while they are in use.
//!
//! What is read is compared with what was read before, by contents: so it does not
//! matter how a file was replaced, be it in place, by renaming, or by swapping a symbolic
//! link above it, as Kubernetes does for its secrets.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{RootCertStore, crypto::CryptoProvider, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// No certificate, key or bundle is larger; a system's whole set of roots is a quarter.
const MAX_BYTES: u64 = 1 << 20;

/// Why a file with certificates or a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use {}: {reason}", path.display())]
pub struct Error {
    /// The file at fault.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// The cryptography that all of Helix uses.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A PEM file as it stood when it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct PemFile {
    path: PathBuf,
    contents: Vec<u8>,
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl PemFile {
    /// Reads the file, of at most 1 MiB.
    ///
    /// # Errors
    ///
    /// It is not there, cannot be read, or is larger.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut file = Self {
            path: path.to_owned(),
            contents: Vec::new(),
        };
        let read = File::open(path)
            .and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut file.contents));
        match read {
            Ok(bytes) if bytes as u64 > MAX_BYTES => Err(file.fault("it is larger than 1 MiB")),
            Ok(_) => Ok(file),
            Err(error) => Err(file.fault(error)),
        }
    }

    /// All certificates in it, in their order.
    ///
    /// # Errors
    ///
    /// There is none, or one is broken.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let found = CertificateDer::pem_slice_iter(&self.contents)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.fault(error))?;
        if found.is_empty() {
            return Err(self.fault("it holds no PEM certificate"));
        }
        Ok(found)
    }

    /// Trusts all certificates in it as authorities.
    ///
    /// # Errors
    ///
    /// As [`Self::certificates`], or one cannot be an authority.
    pub fn add_to(&self, roots: &mut RootCertStore) -> Result<(), Error> {
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.fault(error))?;
        }
        Ok(())
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(&self.contents).map_err(|error| match error {
            rustls_pki_types::pem::Error::NoItemsFound => self.fault("it holds no PEM private key"),
            error => self.fault(error),
        })
    }

    /// That this file is at fault, for this reason.
    pub fn fault(&self, reason: impl fmt::Display) -> Error {
        Error {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }
}

/// A certificate and its private key, as their files stood when they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    certificate: PemFile,
    key: PemFile,
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        Ok(Self {
            certificate: PemFile::read(certificate)?,
            key: PemFile::read(key)?,
        })
    }

    /// That the certificate is at fault, for this reason.
    pub fn fault(&self, reason: impl fmt::Display) -> Error {
        self.certificate.fault(reason)
    }

    /// The pair as rustls wants it.
    ///
    /// # Errors
    ///
    /// One of them is broken, as a file that is only half written, or the key is another
    /// certificate's, as when only one of the files has been replaced yet.
    pub fn certified_key(&self) -> Result<Arc<CertifiedKey>, Error> {
        let (chain, key) = (self.certificate.certificates()?, self.key.private_key()?);
        let pair =
            CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => self.key.fault(format!(
                    "it is not the key of the certificate in {}",
                    self.certificate.path.display()
                )),
                rustls::Error::InvalidCertificate(error) => self.certificate.fault(error),
                error => self.key.fault(error),
            })?;
        Ok(Arc::new(pair))
    }
}

/// Something made from files, which is made anew when they change, and stays as it was
/// when what the files now hold cannot be used.
#[derive(Debug)]
pub struct Renewable<F, T> {
    seen: Result<F, Error>,
    current: T,
}

impl<F: Clone + PartialEq, T> Renewable<F, T> {
    /// What `make` makes of the files.
    ///
    /// # Errors
    ///
    /// What `make` fails with.
    pub fn new(files: F, make: impl FnOnce(&F) -> Result<T, Error>) -> Result<Self, Error> {
        Ok(Self {
            current: make(&files)?,
            seen: Ok(files),
        })
    }

    /// What was made last.
    pub const fn current(&self) -> &T {
        &self.current
    }

    /// Takes what the files hold now, or why they cannot be read. Without a change since
    /// the last call nothing happens, so that each fault is told once.
    ///
    /// # Errors
    ///
    /// The files have changed to something that cannot be used.
    pub fn offer(
        &mut self,
        read: Result<F, Error>,
        make: impl FnOnce(&F) -> Result<T, Error>,
    ) -> Result<Renewal, Error> {
        if read == self.seen {
            return Ok(Renewal::Unchanged);
        }
        self.seen.clone_from(&read);
        self.current = make(&read?)?;
        Ok(Renewal::Renewed)
    }
}

/// What came of looking at the files again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// They are what they were.
    Unchanged,
    /// What is made from them is new.
    Renewed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(reason: &str) -> Error {
        Error {
            path: "x.pem".into(),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn what_cannot_be_used_leaves_what_was_there_and_is_told_once() {
        let make = |file: &&str| match *file {
            "broken" => Err(fault("broken")),
            good => Ok(good.to_uppercase()),
        };
        let mut renewable = Renewable::new("one", make).unwrap();
        assert_eq!(renewable.offer(Ok("one"), make), Ok(Renewal::Unchanged));
        assert_eq!(renewable.offer(Ok("broken"), make), Err(fault("broken")));
        assert_eq!(renewable.offer(Ok("broken"), make), Ok(Renewal::Unchanged));
        assert_eq!(renewable.current(), "ONE");
        let gone = || Err(fault("gone"));
        assert_eq!(renewable.offer(gone(), make), Err(fault("gone")));
        assert_eq!(renewable.offer(gone(), make), Ok(Renewal::Unchanged));
        assert_eq!(renewable.offer(Ok("two"), make), Ok(Renewal::Renewed));
        assert_eq!(renewable.current(), "TWO");
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, contents: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, contents).unwrap();
            path
        };
        let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (one, two) = (made("one"), made("two"));
        let certificate = write("one.pem", one.cert.pem().as_bytes());
        let key = write("one.key", one.signing_key.serialize_pem().as_bytes());
        let other = write("two.key", two.signing_key.serialize_pem().as_bytes());
        let half = &one.cert.pem().into_bytes()[..200];
        let half = write("half.pem", half);
        let huge = write("huge.pem", &vec![b'\n'; (1 << 20) + 1]);
        let missing = folder.path().join("missing.pem");

        let load = |certificate: &Path, key: &Path| {
            Identity::read(certificate, key).and_then(|files| files.certified_key())
        };
        assert!(load(&certificate, &key).is_ok());
        for (certificate, key, at_fault, reason) in [
            (&certificate, &other, &other, "not the key of"),
            (
                &certificate,
                &certificate,
                &certificate,
                "no PEM private key",
            ),
            (&half, &key, &half, ""),
            (&key, &key, &key, "no PEM certificate"),
            (&huge, &key, &huge, "larger than 1 MiB"),
            (&missing, &key, &missing, "No such file"),
        ] {
            let error = load(certificate, key).unwrap_err();
            assert_eq!(&error.path, at_fault);
            assert!(error.reason.contains(reason), "{error}");
        }
    }
}
