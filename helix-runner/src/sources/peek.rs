//! What a model on a hub needs, from the beginnings of its files: before any
//! of them is fetched.

use helix_scheduler::estimate::{self, ModelProfile, gguf, safetensors};

use super::{
    Error,
    hub::{Hub, Listing, RemoteFile, Repo},
    select,
};

/// How much of a file is asked for: more, when the header is longer.
const PREFIXES: [u64; 3] = [1 << 20, 16 << 20, 128 << 20];

/// The shape of a GGUF model on a hub.
pub(super) async fn gguf(
    hub: &Hub,
    repo: &Repo,
    file: Option<&str>,
) -> Result<ModelProfile, Error> {
    let listing = hub.listing(repo).await?;
    let mut headers = Vec::new();
    for file in select::gguf(repo, &listing, file)? {
        headers.push(header(hub, repo, &listing, &file, gguf::read).await?);
    }
    ModelProfile::from_gguf(&headers).map_err(|error| unusable(repo, &error))
}

/// The shape of a model of safetensors on a hub.
pub(super) async fn safetensors(hub: &Hub, repo: &Repo) -> Result<ModelProfile, Error> {
    let listing = hub.listing(repo).await?;
    let files = select::model(repo, &listing)?;
    let config = files.iter().find(|file| file.path == "config.json");
    let config = config.ok_or_else(|| Error::Missing(format!("{repo} has no config.json")))?;
    let config = hub.peek(repo, &listing, config, PREFIXES[0]).await?;
    let mut headers = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.path.ends_with(".safetensors"))
    {
        headers.push(header(hub, repo, &listing, file, safetensors::read).await?);
    }
    ModelProfile::from_safetensors(&config, &headers).map_err(|error| unusable(repo, &error))
}

async fn header<T>(
    hub: &Hub,
    repo: &Repo,
    listing: &Listing,
    file: &RemoteFile,
    read: impl Fn(std::io::Cursor<Vec<u8>>, u64) -> Result<T, estimate::Error>,
) -> Result<T, Error> {
    for prefix in PREFIXES {
        let bytes = hub.peek(repo, listing, file, prefix).await?;
        let whole = (bytes.len() as u64) < prefix;
        match read(std::io::Cursor::new(bytes), prefix) {
            Ok(header) => return Ok(header),
            Err(estimate::Error::Truncated { .. } | estimate::Error::TooLong { .. }) if !whole => {}
            Err(error) => return Err(unusable(repo, &error)),
        }
    }
    Err(Error::Missing(format!(
        "the header of {} in {repo} is longer than any is",
        file.path
    )))
}

fn unusable(repo: &Repo, error: &estimate::Error) -> Error {
    Error::Missing(format!("{repo} cannot be read: {error}"))
}
