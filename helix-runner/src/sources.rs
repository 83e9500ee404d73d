//! Where weights come from: files, and hubs that speak Hugging Face's API.

mod download;
mod error;
mod file;
mod header;
mod hub;
mod lock;
mod options;
mod peek;
mod select;

use std::{path::PathBuf, sync::Arc};

pub use error::Error;
pub(crate) use file::{gguf_file, model_folder};
pub(crate) use header::{GgufHeader, folder_profile, gguf_header, gguf_profile};
pub(crate) use lock::FolderLock;
pub use options::HubOptions;

use helix_scheduler::estimate::ModelProfile;
use hub::{Hub, Repo};

/// Told `(done, total)` bytes while weights are on their way.
pub(crate) type Tell<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// Fetches weights into a folder of the runner's own. Cheap to clone.
///
/// A download that was cut off goes on where it was; two that want the same
/// files wait for each other, in other processes too; sizes, and checksums
/// where the hub gives them, are checked before a file gets its name.
#[derive(Debug, Clone)]
pub struct Fetcher {
    hub: Arc<Hub>,
}

impl Fetcher {
    /// Fetches into `folder`, with `client` (see `Outbound::downloads`).
    pub fn new(options: HubOptions, folder: PathBuf, client: reqwest::Client) -> Self {
        Self {
            hub: Arc::new(Hub::new(options, folder, client)),
        }
    }

    /// A GGUF of a repository: the one named, or the only one. Answers its
    /// path, or the first part's if it is split.
    pub(crate) async fn hugging_face_gguf(
        &self,
        repo: &str,
        revision: Option<&str>,
        file: Option<&str>,
        tell: Tell<'_>,
    ) -> Result<PathBuf, Error> {
        let repo = Repo::parse(repo, revision)?;
        let select = |listing: &hub::Listing| select::gguf(&repo, listing, file);
        let files = self.hub.fetch(&repo, &select, tell).await?;
        let first = files
            .first()
            .ok_or_else(|| Error::Missing(format!("{repo} has no GGUF file")))?;
        gguf_file(first).await
    }

    /// The shape of a GGUF model, without fetching it.
    pub(crate) async fn peek_gguf(
        &self,
        repo: &str,
        revision: Option<&str>,
        file: Option<&str>,
    ) -> Result<ModelProfile, Error> {
        peek::gguf(&self.hub, &Repo::parse(repo, revision)?, file).await
    }

    /// The shape of a model of safetensors, without fetching it.
    pub(crate) async fn peek_safetensors(
        &self,
        repo: &str,
        revision: Option<&str>,
    ) -> Result<ModelProfile, Error> {
        peek::safetensors(&self.hub, &Repo::parse(repo, revision)?).await
    }

    /// A whole repository of safetensors. Answers the folder.
    pub(crate) async fn hugging_face_folder(
        &self,
        repo: &str,
        revision: Option<&str>,
        tell: Tell<'_>,
    ) -> Result<PathBuf, Error> {
        let repo = Repo::parse(repo, revision)?;
        let files = self
            .hub
            .fetch(&repo, &|listing| select::model(&repo, listing), tell)
            .await?;
        let config = files
            .iter()
            .find(|file| file.file_name().is_some_and(|name| name == "config.json"));
        let folder = config.and_then(|config| config.parent());
        let folder = folder.ok_or_else(|| Error::Missing(format!("{repo} has no config.json")))?;
        model_folder(folder).await
    }
}

#[cfg(test)]
mod tests;
