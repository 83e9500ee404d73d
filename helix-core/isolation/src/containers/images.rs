//! Images of the Docker daemon, and those that are made of sandboxes.
//!
//! A snapshot is an image `helix-<tag>/snapshot:<id>`. A sandbox that started from a
//! snapshot or from another sandbox has a name of its own for its image,
//! `helix-<tag>/base:<id>`: the image goes with the last of its names, whichever that is.

use std::collections::{BTreeMap, HashMap};

use bollard::{
    Docker,
    models::{ContainerConfig, ImageInspect, ImageSummary},
    query_parameters::{
        CommitContainerOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
        TagImageOptionsBuilder,
    },
};
use helix_proto::{SandboxId, SnapshotId, sandbox::host::HostImage};

use super::{
    config::{HOST, VARIABLES},
    daemon::{failed, found, status},
};
use crate::{Error, ErrorKind};

/// The most images that are listed.
const MOST: usize = 1_000;
/// The longest name of an image.
const LONGEST: usize = 255;

/// What a container is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// Its digest.
    pub(super) id: String,
    /// Variables for what runs in it.
    pub(super) env: BTreeMap<String, String>,
}

/// The images of a Docker daemon.
#[derive(Debug)]
pub(super) struct Images {
    pub(super) docker: Docker,
    pub(super) tag: String,
}

impl Images {
    /// The image that somebody named. Never one that was made of a sandbox.
    pub(super) async fn named(&self, name: &str) -> Result<Image, Error> {
        if !is_name(name) {
            let message = format!("{name:?} is not the name or digest of an image");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let there = found(self.docker.inspect_image(name).await, looking(name))?;
        let missing = || {
            let message = format!(
                "the Docker daemon of this host has no image {name}: pull, load or import it there"
            );
            Error::new(ErrorKind::NotFound, message)
        };
        let there = there
            .filter(|image| !label(image, HOST))
            .ok_or_else(missing)?;
        let config = there.config.as_ref();
        if config.is_some_and(|config| config.volumes.as_ref().is_some_and(|all| !all.is_empty())) {
            let message = format!(
                "the image {name} declares volumes, which no snapshot or fork would hold: make \
                 an image without"
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        read(there)
    }

    /// What sandboxes can start from: images with a name that are not made of one.
    pub(super) async fn list(&self) -> Result<Vec<HostImage>, Error> {
        let options = ListImagesOptionsBuilder::new().build();
        let images = self.docker.list_images(Some(options)).await;
        let images = images.map_err(failed("listing the images"))?;
        let mut all: Vec<_> = images.into_iter().flat_map(named).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all.truncate(MOST);
        Ok(all)
    }

    pub(super) fn snapshot(&self, id: SnapshotId) -> String {
        format!("{}:{id}", self.repository("snapshot"))
    }

    fn base(&self, id: SandboxId) -> String {
        format!("{}:{id}", self.repository("base"))
    }

    fn repository(&self, kind: &str) -> String {
        format!("helix-{}/{kind}", self.tag)
    }

    /// An image that was made of a sandbox, by its name.
    pub(super) async fn ours(&self, reference: &str) -> Result<Option<Image>, Error> {
        let there = self.docker.inspect_image(reference).await;
        found(there, looking(reference))?.map(read).transpose()
    }

    /// The image of a snapshot, kept for a sandbox from now on.
    pub(super) async fn start_from(
        &self,
        snapshot: SnapshotId,
        sandbox: SandboxId,
    ) -> Result<Option<Image>, Error> {
        let reference = self.snapshot(snapshot);
        let Some(image) = self.ours(&reference).await? else {
            return Ok(None);
        };
        let name = TagImageOptionsBuilder::new()
            .repo(&self.repository("base"))
            .tag(&sandbox.to_string())
            .build();
        let tagged = self.docker.tag_image(&image.id, Some(name)).await;
        tagged.map_err(failed(format_args!("keeping the image {reference}")))?;
        Ok(Some(image))
    }

    /// Makes a container's files an image for a sandbox.
    pub(super) async fn fork(&self, container: &str, sandbox: SandboxId) -> Result<Image, Error> {
        self.commit(container, "base", &sandbox.to_string()).await
    }

    /// Makes a container's files a snapshot.
    pub(super) async fn take(&self, container: &str, id: SnapshotId) -> Result<Image, Error> {
        self.commit(container, "snapshot", &id.to_string()).await
    }

    /// Its processes stand still meanwhile.
    async fn commit(&self, container: &str, kind: &str, tag: &str) -> Result<Image, Error> {
        let repository = self.repository(kind);
        let options = CommitContainerOptionsBuilder::new()
            .container(container)
            .repo(&repository)
            .tag(tag)
            .pause(true)
            .build();
        let made = self
            .docker
            .commit_container(options, ContainerConfig::default());
        made.await
            .map_err(failed(format_args!("keeping the files of {container}")))?;
        let reference = format!("{repository}:{tag}");
        self.ours(&reference).await?.ok_or_else(|| {
            let message = format!("the image {reference} is gone again");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// What a sandbox wrote, as its image keeps it: the image's last layer.
    pub(super) async fn size(&self, reference: &str) -> Result<u64, Error> {
        let layers = self.docker.image_history(reference).await;
        let layers = layers.map_err(failed(looking(reference)))?;
        let size = layers.first().map_or(0, |layer| layer.size);
        Ok(u64::try_from(size).unwrap_or(0))
    }

    /// Every snapshot.
    pub(super) async fn snapshots(&self) -> Result<Vec<SnapshotId>, Error> {
        Ok(self
            .tags("snapshot")
            .await?
            .iter()
            .filter_map(|tag| tag.parse().ok())
            .collect())
    }

    /// Every sandbox that has a name for its image.
    pub(super) async fn bases(&self) -> Result<Vec<SandboxId>, Error> {
        Ok(self
            .tags("base")
            .await?
            .iter()
            .filter_map(|tag| tag.parse().ok())
            .collect())
    }

    async fn tags(&self, kind: &str) -> Result<Vec<String>, Error> {
        let repository = self.repository(kind);
        let filters = HashMap::from([("reference", vec![repository.clone()])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let images = self.docker.list_images(Some(options)).await;
        let images = images.map_err(failed(format_args!("listing the images {repository}")))?;
        let names = images.iter().flat_map(|image| &image.repo_tags);
        Ok(names
            .filter_map(|name| name.strip_prefix(&repository)?.strip_prefix(':'))
            .map(str::to_owned)
            .collect())
    }

    pub(super) async fn remove_snapshot(&self, id: SnapshotId) -> Result<(), Error> {
        self.remove(&self.snapshot(id)).await
    }

    pub(super) async fn remove_base(&self, id: SandboxId) -> Result<(), Error> {
        self.remove(&self.base(id)).await
    }

    async fn remove(&self, reference: &str) -> Result<(), Error> {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        match self
            .docker
            .remove_image(reference, Some(options), None)
            .await
        {
            Err(error) if status(&error) != Some(404) => Err(failed(format_args!(
                "removing the image {reference}"
            ))(error)),
            _ => Ok(()),
        }
    }
}

/// An image by each of its names; by none where it was made of a sandbox.
fn named(image: ImageSummary) -> impl Iterator<Item = HostImage> {
    let ours = image.labels.contains_key(HOST);
    let names = image.repo_tags.into_iter();
    // What a name was taken from is listed without one.
    let names = names.filter(move |name| !ours && name != "<none>:<none>");
    names.map(move |name| HostImage {
        name,
        digest: image.id.clone(),
        size_bytes: image.size.try_into().unwrap_or(0),
        created_at_ms: u64::try_from(image.created).unwrap_or(0) * 1_000,
    })
}

fn looking(name: &str) -> String {
    format!("looking for the image {name}")
}

fn label(image: &ImageInspect, name: &str) -> bool {
    let labels = image
        .config
        .as_ref()
        .and_then(|config| config.labels.as_ref());
    labels.is_some_and(|labels| labels.contains_key(name))
}

fn read(image: ImageInspect) -> Result<Image, Error> {
    let config = image.config.unwrap_or_default();
    let id = image.id.ok_or_else(|| {
        Error::new(
            ErrorKind::Failed,
            "the Docker daemon knows an image without a digest",
        )
    })?;
    let kept = config.labels.unwrap_or_default().remove(VARIABLES);
    let env = match kept {
        Some(kept) => variables(&kept)?,
        None => config
            .env
            .unwrap_or_default()
            .iter()
            .filter_map(|one| one.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    };
    Ok(Image { id, env })
}

/// The variables in the label [`VARIABLES`].
pub(super) fn variables(label: &str) -> Result<BTreeMap<String, String>, Error> {
    serde_json::from_str(label).map_err(|error| {
        let message = format!("the label {VARIABLES} cannot be read: {error}");
        Error::new(ErrorKind::Failed, message)
    })
}

/// Whether this can be a part of the path of a request, and nothing else.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    let parts = || name.split('/');
    (1..=LONGEST).contains(&name.len())
        && name.bytes().all(plain)
        && parts().all(|part| !part.is_empty() && part.bytes().any(|byte| byte != b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_and_digests_of_images_are_names() {
        for name in [
            "busybox",
            "debian:12",
            "localhost:5000/a/b_c-d:1.2",
            "sha256:0a1b",
            "a@sha256:12",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "../containers/x",
            "a/../b",
            "a//b",
            "/a",
            "a/",
            "a?b",
            "a b",
            "a%2fb",
            "é",
        ] {
            assert!(!is_name(name), "{name}");
        }
        assert!(!is_name(&"x".repeat(LONGEST + 1)));
    }
}
