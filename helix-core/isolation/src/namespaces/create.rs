//! Making a sandbox's files.

use std::{os::fd::OwnedFd, path::Path, sync::Arc};

use helix_proto::sandbox::{
    Rootfs,
    host::{Origin, SandboxSpec},
};
use tempfile::TempDir;

use super::{
    Backend, capabilities,
    disk::{self, Frozen},
    host_root,
    launch::{Layered, own_ids},
    origins,
    sandbox::Sandbox,
    state::{DISK, State, write_json},
};
use crate::{Error, ErrorKind, network::policy::Policy};

/// How many ids a sandbox has.
pub(super) const IDS: u32 = 65_536;

pub(super) async fn create(
    backend: &Arc<Backend>,
    spec: &SandboxSpec,
) -> Result<Arc<Sandbox>, Error> {
    if let Some(sandbox) = backend.get(spec.id) {
        return Ok(sandbox);
    }
    check(backend, spec)?;
    let range = Range::take(backend)?;
    let layers = match origins::layers(backend, spec)? {
        Some(layers) => layers,
        None => layers(backend, &spec.rootfs)?,
    };
    let origin = origin(backend, spec).await?;
    let (backend, spec) = (Arc::clone(backend), spec.clone());
    let (made, range, spec) = {
        let backend = Arc::clone(&backend);
        tokio::task::spawn_blocking(move || {
            let made = files(&backend, &spec, range.first_id(), layers, origin.as_deref());
            (made, range, spec)
        })
        .await
        .map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))?
    };
    match made {
        Ok(made) => finish(&backend, spec, made, range),
        Err(error) => {
            backend.docker_images.forget(&spec.id.to_string())?;
            Err(error)
        }
    }
}

/// A sandbox's files.
struct Made {
    directory: TempDir,
    state: State,
    /// Its disk, mounted.
    disk: Option<OwnedFd>,
}

/// What was made becomes a sandbox, at once.
fn finish(
    backend: &Arc<Backend>,
    spec: SandboxSpec,
    made: Made,
    range: Range,
) -> Result<Arc<Sandbox>, Error> {
    let id = spec.id;
    let mut sandboxes = backend.sandboxes();
    if let Some(sandbox) = sandboxes.get(&id) {
        return Ok(Arc::clone(sandbox));
    }
    let place = backend.places.sandbox(&id.to_string());
    std::fs::rename(made.directory.path(), &place)
        .map_err(|error| Error::io(place.display(), error))?;
    range.keep();
    let sandbox = Arc::new(Sandbox::new(backend, spec, made.state, None).with_disk(made.disk));
    sandboxes.insert(id, Arc::clone(&sandbox));
    Ok(sandbox)
}

fn check(backend: &Backend, spec: &SandboxSpec) -> Result<(), Error> {
    for needed in capabilities::needed() {
        if let Some(why) = capabilities::missing(&backend.capabilities, needed) {
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
    }
    // Else the sandbox's image may have what this machine lacks.
    if spec.docker && backend.own_ids {
        return Err(Error::new(ErrorKind::Unsupported, capabilities::NO_DOCKER));
    }
    if spec.desktop.is_some() && backend.options.media.is_none() {
        return Err(Error::new(ErrorKind::Unsupported, capabilities::NO_MEDIA));
    }
    Policy::parse(&spec.egress)?;
    backend.check_egress(&spec.egress)?;
    spec.limits
        .check()
        .map_err(|why| Error::new(ErrorKind::Invalid, why))
}

/// The file systems of a sandbox: those of the host's system or of an image.
fn layers(backend: &Backend, rootfs: &Rootfs) -> Result<Vec<Layered>, Error> {
    match rootfs {
        Rootfs::Host => match &backend.host {
            Some(host) => Ok(host.layers.clone()),
            None => Err(Error::new(
                ErrorKind::Unsupported,
                capabilities::missing(&backend.capabilities, "host_rootfs")
                    .unwrap_or("the host's system cannot be shown"),
            )),
        },
        Rootfs::Image { image } => {
            let (image, root) = backend.images.find(image)?;
            host_root::image::layers(&backend.places.host(), &image.digest, &root)
                .map_err(|error| Error::io("making a layer for the image", error))
        }
    }
}

/// The disk that a sandbox's own is a copy of.
async fn origin(
    backend: &Arc<Backend>,
    spec: &SandboxSpec,
) -> Result<Option<Arc<dyn Source>>, Error> {
    Ok(match spec.origin {
        None => None,
        Some(Origin::Snapshot(id)) => {
            let path = backend.places.snapshot(&id.to_string());
            if !path.exists() {
                let message = format!("there is no snapshot {id} on this host");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            Some(Arc::new(path))
        }
        Some(Origin::Sandbox(id)) => {
            let sandbox = backend.get(id).ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("there is no sandbox {id} on this host"),
                )
            })?;
            Some(Arc::new(sandbox.hold().await?))
        }
    })
}

/// Where a disk comes from.
pub(super) trait Source: Send + Sync {
    /// The id of the sandbox or snapshot that it is of.
    fn name(&self) -> String;

    fn copy_to(&self, path: &Path) -> Result<(), Error>;
}

impl Source for std::path::PathBuf {
    fn name(&self) -> String {
        let name = self.file_stem().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn copy_to(&self, path: &Path) -> Result<(), Error> {
        disk::copy(self, path).map_err(|error| Error::io("copying the disk", error))
    }
}

fn files(
    backend: &Backend,
    spec: &SandboxSpec,
    first_id: u32,
    layers: Vec<Layered>,
    origin: Option<&dyn Source>,
) -> Result<Made, Error> {
    let failed = |error| Error::io("making the sandbox's directory", error);
    let bytes = spec.limits.disk_bytes;
    let (directory, disk) = match origin {
        None => {
            let spare = backend.spares.take(bytes)?;
            (spare.directory, Some(spare.mount))
        }
        Some(origin) => {
            let directory = backend.places.half_made()?;
            let path = directory.path().join(DISK);
            let images = &backend.docker_images;
            images.share(&origin.name(), &spec.id.to_string())?;
            origin.copy_to(&path)?;
            disk::grow(&path, bytes)?;
            (directory, None)
        }
    };
    let state = State {
        first_id,
        layers,
        cgroups: None,
        process: None,
        paused: false,
        network: None,
    };
    write_json(&directory.path().join("spec.json"), spec).map_err(failed)?;
    write_json(&directory.path().join("state.json"), &state).map_err(failed)?;
    Ok(Made {
        directory,
        state,
        disk,
    })
}

/// A range of ids, given back unless it is kept.
struct Range {
    backend: Arc<Backend>,
    number: u32,
    kept: bool,
}

impl Range {
    fn take(backend: &Arc<Backend>) -> Result<Self, Error> {
        if backend.own_ids {
            // The only one, which all share.
            return Ok(Self {
                backend: Arc::clone(backend),
                number: 0,
                kept: true,
            });
        }
        let mut ranges = backend.ranges();
        let number = (0..backend.options.most)
            .find(|number| !ranges.contains(number))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Full,
                    format!("this host has its {} sandboxes", backend.options.most),
                )
            })?;
        ranges.insert(number);
        drop(ranges);
        Ok(Self {
            backend: Arc::clone(backend),
            number,
            kept: false,
        })
    }

    fn first_id(&self) -> u32 {
        if self.backend.own_ids {
            return own_ids::FIRST;
        }
        self.backend.options.first_id + self.number * IDS
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        if !self.kept {
            self.backend.ranges().remove(&self.number);
        }
    }
}

impl Backend {
    /// Takes note of a range that a sandbox has.
    pub(super) fn take_range(&self, first_id: u32) {
        self.ranges().insert(self.range_of(first_id));
    }

    pub(super) fn give_range(&self, first_id: u32) {
        self.ranges().remove(&self.range_of(first_id));
    }

    fn range_of(&self, first_id: u32) -> u32 {
        first_id.saturating_sub(self.options.first_id) / IDS
    }
}

/// A disk whose writes are held back while it is copied.
pub(super) struct Held {
    pub(super) name: String,
    pub(super) path: std::path::PathBuf,
    pub(super) marker: std::path::PathBuf,
    pub(super) running: bool,
    /// Nothing else happens to the sandbox meanwhile.
    pub(super) _turn: tokio::sync::OwnedMutexGuard<()>,
}

impl Source for Held {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn copy_to(&self, path: &Path) -> Result<(), Error> {
        let failed = |error| Error::io("copying the disk", error);
        if !self.running {
            return disk::copy(&self.path, path).map_err(failed);
        }
        std::fs::write(&self.marker, "").map_err(failed)?;
        let frozen = Frozen::freeze(&self.path).map_err(failed)?;
        let copied = disk::copy(&self.path, path).map_err(failed);
        drop(frozen);
        std::fs::remove_file(&self.marker).map_err(failed)?;
        copied
    }
}
