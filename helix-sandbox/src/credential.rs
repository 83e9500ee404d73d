//! The host's credential: given, kept from an earlier registration, or made with a join
//! token.

use helix_base::{
    Outbound, SecretString,
    credential::{self, Sources},
};
use url::Url;

pub use helix_base::credential::{Error, kept_at};

use crate::{HostOptions, machine};

/// The credential to connect to `server` with; see [`helix_base::credential::resolve`].
///
/// # Errors
///
/// When there is none, or it cannot be had.
pub async fn resolve(
    options: &HostOptions,
    server: &Url,
    outbound: &Outbound,
) -> Result<SecretString, Error> {
    let name = options.name.clone().unwrap_or_else(machine::hostname);
    let sources = Sources {
        credential: options.credential.as_ref(),
        file: options.credential_file.as_deref(),
        data_dir: &options.data_dir,
        join_token: options.join_token.as_ref(),
        name: &name,
        join_path: "/api/v1/sandbox-hosts/join",
    };
    credential::resolve(&sources, server, outbound).await
}
