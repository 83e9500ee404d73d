//! The authorities that the host trusts besides the system's, for the programs in sandboxes.

use std::{collections::BTreeMap, fs, io::Read as _, path::Path, sync::Arc};

use bytes::Bytes;
use helix_isolation::{Environment, ErrorKind, GuestClient};

use crate::Error;

/// Those of the host, where systems look for what an administrator trusts.
const OWN: &str = "/usr/local/share/ca-certificates/helix-host.crt";

/// Those of the host and of the sandbox's own system, for programs that read one file.
const ALL: &str = "/usr/local/share/ca-certificates/helix-all.pem";

/// Where systems keep all that they trust.
const SYSTEMS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What tells programs of them.
const VARIABLES: [(&str, &str); 4] = [
    ("SSL_CERT_FILE", ALL),
    ("CURL_CA_BUNDLE", ALL),
    ("REQUESTS_CA_BUNDLE", ALL),
    ("NODE_EXTRA_CA_CERTS", OWN),
];

/// A larger file of authorities is refused.
const MOST_BYTES: u64 = 4 << 20;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Certificates in PEM, and nothing else of the file that they were in.
#[derive(Debug, Clone)]
pub(crate) struct Authorities(String);

impl Authorities {
    /// # Errors
    ///
    /// The file cannot be read, or is too large.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Data {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(failed)?;
        let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(failed)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
            return Err(Error::Option {
                option: "outbound.ca_bundle",
                reason: format!("{} is larger than 4 MiB", path.display()),
            });
        }
        Ok(Self::of(&String::from_utf8_lossy(&bytes)))
    }

    /// A private key beside the certificates is not for sandboxes.
    fn of(text: &str) -> Self {
        let mut certificates = String::new();
        let mut inside = false;
        for line in text.lines().map(str::trim) {
            inside |= line == BEGIN;
            if inside {
                certificates.push_str(line);
                certificates.push('\n');
            }
            inside &= line != END;
        }
        Self(certificates)
    }

    /// Tells programs where they are, unless told otherwise.
    pub(crate) fn name(env: &mut BTreeMap<String, String>) {
        for (name, path) in VARIABLES {
            env.entry(name.to_owned())
                .or_insert_with(|| path.to_owned());
        }
    }

    /// Puts them into a sandbox that runs.
    ///
    /// # Errors
    ///
    /// What runs inside does not take them.
    pub(crate) async fn put(
        &self,
        environment: Arc<dyn Environment>,
    ) -> Result<(), helix_isolation::Error> {
        let guest = GuestClient::new(environment);
        let mut all = Vec::new();
        for system in SYSTEMS {
            match guest.read("root", system).await {
                Ok(found) => {
                    all.extend_from_slice(&found);
                    all.push(b'\n');
                    break;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        all.extend_from_slice(self.0.as_bytes());
        let own = Bytes::from(self.0.clone());
        guest.write("root", OWN, 0o644, own).await?;
        guest.write("root", ALL, 0o644, all.into()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{Mock, spec};
    use helix_isolation::Isolation as _;

    #[tokio::test]
    async fn certificates_are_put_beside_those_of_the_sandbox_and_keys_are_not() {
        let text = format!(
            "a comment\n{BEGIN}\r\nAAAA\r\n{END}\r\n-----BEGIN PRIVATE KEY-----\nBBBB\n\
             -----END PRIVATE KEY-----\n{BEGIN}\nCCCC\n{END}\n"
        );
        let mock = Mock::default();
        let sandbox = mock.create(&spec(1)).await.unwrap();
        Authorities::of(&text).put(sandbox).await.unwrap();
        let files = mock.files.lock().unwrap();
        let own = format!("{BEGIN}\nAAAA\n{END}\n{BEGIN}\nCCCC\n{END}\n");
        assert_eq!(files[OWN], own);
        // What the mock has in every file comes first.
        assert_eq!(files[ALL], format!("content\n{own}"));
    }
}
