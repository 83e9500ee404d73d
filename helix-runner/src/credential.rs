//! The runner's credential: given, kept from an earlier registration, or made
//! with a join token.

use helix_base::{
    Outbound, SecretString,
    credential::{self, Sources},
};
use url::Url;

pub use helix_base::credential::{Error, kept_at};

use crate::RunnerOptions;

/// The credential to connect to `server` with; see [`helix_base::credential::resolve`].
///
/// # Errors
///
/// When there is none, or it cannot be had.
pub async fn resolve(
    options: &RunnerOptions,
    server: &Url,
    outbound: &Outbound,
) -> Result<SecretString, Error> {
    let name = options.name.clone().unwrap_or_else(crate::runner::hostname);
    let sources = Sources {
        credential: options.credential.as_ref(),
        file: options.credential_file.as_deref(),
        data_dir: &options.data_dir,
        join_token: options.join_token.as_ref(),
        name: &name,
        join_path: "/api/v1/runners/join",
    };
    credential::resolve(&sources, server, outbound).await
}
