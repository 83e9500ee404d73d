//! Docker images for sandboxes: unpacked by a daemon in a sandbox that is thrown away.

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
    time::Duration,
};

use helix_base::{Clock, Ids, TaskGroup};
use helix_proto::{
    SandboxId,
    sandbox::{
        Egress, Rootfs, SandboxLimits, SandboxPhase,
        host::{HostImage, SandboxSpec},
    },
};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::{Backend, Namespaces, Options, loops::Loops};
use crate::{
    Environment, Error, ErrorKind, GuestClient, Isolation as _, Watch,
    docker::images::{Data, DockerImages, Importing},
    images,
};

/// Where the image's file is in the sandbox.
const FILE: &str = "/var/tmp/image.tar";
/// For an image to be loaded.
const PATIENCE: Duration = Duration::from_secs(3600);
/// What a file that is compressed may unpack to, against its length.
const UNPACKED: u64 = 8;
/// No image is larger.
const MOST_BYTES: u64 = 256 << 30;

/// Imports the Docker images of a file that `docker save` wrote, for all sandboxes with a
/// Docker daemon that are started from then on. `options` are those of the sandboxes'
/// backend, which may be running. `step` hears what is being done.
///
/// What unpacks them is a Docker daemon in a sandbox of its own, with the programs of this
/// machine and no network, which is gone when this returns. Once `stop` ends the import is
/// given up. Where this is dropped or killed the next import removes what it left.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] for what is no such file, or has an image without a name;
/// [`ErrorKind::Unsupported`] where this machine has no Docker programs or cannot have
/// sandboxes; [`ErrorKind::Conflict`] while another import is under way.
pub async fn import_docker_image(
    options: &Options,
    from: &Path,
    clock: Arc<dyn Clock>,
    step: &(dyn Fn(&str) + Send + Sync),
    stop: impl Future<Output = ()> + Send,
) -> Result<Vec<HostImage>, Error> {
    let length = fs::metadata(from).map_err(|error| Error::io(from.display(), error))?;
    if !length.is_file() {
        let message = format!("{} is not a file that `docker save` wrote", from.display());
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let importing = DockerImages::open(options.docker_images())?.importing()?;
    let tasks = TaskGroup::new();
    let place = options.data.join("loader");
    let loader = Options {
        // The range after those of the sandboxes.
        first_id: options.first_id + options.most * super::create::IDS,
        most: 1,
        spare_disks: 0,
        program: options.program.clone(),
        ..Options::new(&place)
    };
    step("starting a Docker daemon");
    let backend = Namespaces::new(loader, Arc::clone(&clock), tasks.clone()).await?;
    let imported = match empty(&backend).await {
        Ok(()) => tokio::select! {
            loaded = load(&backend, importing, from, length.len(), clock, step) => loaded,
            () = stop => Err(Error::new(ErrorKind::Conflict, "the import was stopped")),
        },
        Err(error) => Err(error),
    };
    let cleared = clear(backend, &tasks, &place).await;
    let imported = imported?;
    cleared.map(|()| imported)
}

/// Removes everything that was there for one import.
async fn clear(backend: Namespaces, tasks: &TaskGroup, place: &Path) -> Result<(), Error> {
    empty(&backend).await?;
    backend.dispose().await?;
    drop(backend);
    tasks.shutdown(PART).await;
    fs::remove_dir_all(place).map_err(|error| Error::io(place.display(), error))
}

/// For what is done in the background to end.
const PART: Duration = Duration::from_secs(10);

/// Removes every sandbox, one that an import that was killed left too.
async fn empty(backend: &Namespaces) -> Result<(), Error> {
    for found in backend.found().await? {
        backend.remove(found.environment.spec().id).await?;
    }
    Ok(())
}

async fn load(
    backend: &Namespaces,
    importing: Importing,
    from: &Path,
    length: u64,
    clock: Arc<dyn Clock>,
    step: &(dyn Fn(&str) + Send + Sync),
) -> Result<Vec<HostImage>, Error> {
    if let Err(why) = crate::docker::on_this_system() {
        return Err(Error::new(ErrorKind::Unsupported, why));
    }
    let id: SandboxId = Ids::new(Arc::clone(&clock)).next();
    let sandbox = backend.create(&spec(id, length)).await?;
    sandbox.start(&Quiet).await?;
    step("loading the image");
    let names = loaded(&sandbox, from).await?;
    sandbox.stop().await?;
    step("keeping its layers");
    let disk = backend.backend.places.disk(&id.to_string());
    let kept = tokio::task::spawn_blocking(move || {
        let failed = |error| Error::io("reading the disk of the daemon that loaded it", error);
        let disk = read_only(&disk).map_err(failed)?;
        let data = Data::below(&disk, "docker").map_err(failed)?;
        importing.add(&data, &names, &*clock)
    });
    kept.await
        .map_err(|error| Error::io("keeping its layers", io::Error::other(error)))?
}

fn spec(id: SandboxId, length: u64) -> SandboxSpec {
    SandboxSpec {
        id,
        name: "loader".to_owned(),
        rootfs: Rootfs::Host,
        egress: Egress::None,
        limits: SandboxLimits {
            // It takes what it is written, not what it may be.
            disk_bytes: (length.saturating_mul(UNPACKED) + (2 << 30)).min(MOST_BYTES),
            ..SandboxLimits::DEFAULT
        },
        docker: true,
        desktop: None,
        env: Default::default(),
        idle_timeout_ms: None,
        expires_at_ms: None,
        origin: None,
    }
}

struct Quiet;

impl Watch for Quiet {
    fn phase(&self, _: SandboxPhase) {}
}

/// Loads the file, and returns the names that the daemon says it has.
async fn loaded(sandbox: &Arc<dyn Environment>, from: &Path) -> Result<Vec<String>, Error> {
    let file = tokio::fs::File::open(from).await;
    let file = file.map_err(|error| Error::io(from.display(), error))?;
    let guest = GuestClient::new(Arc::clone(sandbox)).with_patience(PATIENCE);
    guest.write_from("root", FILE, 0o600, file).await?;
    let (code, said) = guest.run("root", &["docker", "load", "-i", FILE]).await?;
    let said: String = said.chars().take(4_000).collect();
    if code != Some(0) {
        let message = format!("docker load: {}", said.trim());
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    names(&said)
}

/// The names of what was loaded, as `docker load` says them.
fn names(said: &str) -> Result<Vec<String>, Error> {
    let names: Vec<String> = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Loaded image: "))
        .map(str::to_owned)
        .collect();
    if names.is_empty() || said.contains("Loaded image ID: ") {
        let message = "an image in the file has no name: give it one with `docker tag`, and \
                       save it by that name";
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    names.iter().try_for_each(|name| images::check_name(name))?;
    Ok(names)
}

/// The root of a disk that is not in use.
fn read_only(disk: &Path) -> io::Result<OwnedFd> {
    let file = File::options().read(true).write(true).open(disk)?;
    let (path, _device) = Loops::default().attach(&file)?;
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", path.as_path())?;
    fsconfig_set_flag(&context, "ro")?;
    fsconfig_create(&context)?;
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, quiet)?)
}

impl Backend {
    /// Forgets what Docker images sandboxes and snapshots had that are gone.
    pub(super) async fn tidy_docker_images(&self) -> Result<(), Error> {
        let sandboxes: Vec<_> = self.sandboxes().keys().map(ToString::to_string).collect();
        let (places, images) = (self.places.clone(), self.docker_images.clone());
        let tidied = tokio::task::spawn_blocking(move || {
            images.tidy(|user| {
                sandboxes.iter().any(|one| one == user) || places.snapshot(user).exists()
            })
        });
        let tidied = tidied.await.map_err(io::Error::other);
        tidied.map_err(|error| Error::io("looking after the Docker images", error))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_without_a_name_are_refused() {
        let two = "Loaded image: box:latest\nLoaded image: a/b:1\n";
        assert_eq!(names(two).unwrap(), ["box:latest", "a/b:1"]);
        for said in [
            "",
            "Loaded image ID: sha256:12\n",
            "Loaded image: box:1\nLoaded image ID: sha256:12\n",
            "Loaded image: ../../x y\n",
        ] {
            assert!(names(said).is_err(), "{said}");
        }
    }
}
