//! The isolation that the options name.

mod own_service;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use helix_base::{Clock, SystemClock, TaskGroup};
use helix_isolation::{
    ErrorKind, Isolation,
    containers::{self, Containers},
    images::Images,
    namespaces::{self, Namespaces},
    network::{self, Networks},
};
use helix_proto::sandbox::{Rootfs, host::HostCapability};

use crate::{Backend, Error, HostOptions, records::Records};

/// What the backend of the sandboxes in a data directory is called.
const BACKEND_FILE: &str = "backend";

/// The sandboxes of the backend that the options name, kept in the data directory; those
/// that are there go on.
///
/// # Errors
///
/// Where the data directory cannot be used, another process uses it, it has sandboxes of
/// another backend, or the Docker daemon that makes them cannot be used.
pub async fn of_options(
    options: &HostOptions,
    clock: Arc<dyn Clock>,
    tasks: &TaskGroup,
) -> Result<Arc<dyn Isolation>, Error> {
    check_backend(options)?;
    let isolation: Arc<dyn Isolation> = match options.isolation.backend {
        Backend::Namespaces => {
            Arc::new(Namespaces::new(settings(options).await, clock, tasks.child()).await?)
        }
        Backend::Docker => Arc::new(in_containers(options, clock, tasks).await?.0),
    };
    let path = options.data_dir.join(BACKEND_FILE);
    fs::write(&path, options.isolation.backend.name())
        .map_err(|source| Error::Data { path, source })?;
    Ok(isolation)
}

/// Sandboxes of one backend are not those of another.
fn check_backend(options: &HostOptions) -> Result<(), Error> {
    let path = options.data_dir.join(BACKEND_FILE);
    let before = match fs::read_to_string(&path) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Backend::Namespaces.name().to_owned()
        }
        Err(source) => return Err(Error::Data { path, source }),
    };
    let wanted = options.isolation.backend.name();
    let left = Records::open(&options.data_dir)?.all()?.len();
    if before == wanted || left == 0 {
        return Ok(());
    }
    Err(Error::Option {
        option: "isolation.backend",
        reason: format!(
            "{} has {left} sandboxes of the backend {before}: delete them first, or give the \
             backend {wanted} another data directory",
            options.data_dir.display()
        ),
    })
}

/// The network is made before the backend takes the data directory for itself: not while
/// another process has it.
fn check_free(data_dir: &Path) -> Result<(), Error> {
    let path = data_dir.join("lock");
    let lock = match fs::File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::Data { path, source }),
    };
    lock.try_lock().map_err(|source| Error::Data {
        path,
        source: source.into(),
    })
}

/// With their network, which is theirs alone.
async fn in_containers(
    options: &HostOptions,
    clock: Arc<dyn Clock>,
    tasks: &TaskGroup,
) -> Result<(Containers, Networks), Error> {
    let mut settings = containers::Options::new(&options.data_dir);
    settings.tools = true;
    if let Some(socket) = &options.isolation.docker_socket {
        settings.socket.clone_from(socket);
    }
    check_free(&options.data_dir)?;
    let networks = Networks::open(&network(options).await, Arc::clone(&clock), tasks).await?;
    let opened = Containers::open(&settings, networks.clone(), clock, tasks.child()).await?;
    Ok((opened, networks))
}

async fn settings(options: &HostOptions) -> namespaces::Options {
    namespaces::Options {
        network: Some(network(options).await),
        ..of_namespaces(options)
    }
}

/// How the backend `namespaces` is set up, but for its network.
pub fn of_namespaces(options: &HostOptions) -> namespaces::Options {
    let mut settings = namespaces::Options::new(&options.data_dir);
    if let Some(first_id) = options.isolation.first_id {
        settings.first_id = first_id;
    }
    settings.media = options.isolation.media.clone().or_else(media);
    // What was replaced by another since it was started is no file any more.
    settings.tools = std::env::current_exe().ok().filter(|own| own.is_file());
    if let Some(spare_disks) = options.isolation.spare_disks {
        settings.spare_disks = spare_disks.into();
    }
    settings
}

/// What serves desktops, where it was installed with this program.
fn media() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name("helix-media");
    beside.is_file().then_some(beside)
}

/// The sandboxes' network. They reach the control plane on this machine as others do.
async fn network(options: &HostOptions) -> network::Options {
    let wanted = &options.isolation;
    let mut services = wanted.services.clone();
    if let Some(server) = &options.server {
        for service in own_service::of(server).await {
            if !services.contains(&service) {
                services.push(service);
            }
        }
    }
    network::Options {
        subnet: wanted.subnet,
        services,
        refused: wanted.refused.clone(),
        ..network::Options::for_data_dir(&options.data_dir)
    }
}

/// The images that sandboxes can start from. Those that a sandbox was made from, or is being made
/// from, or a snapshot of one, are not removed.
///
/// # Errors
///
/// Where they cannot be kept.
pub fn images(options: &HostOptions) -> Result<Images, Error> {
    let data_dir = options.data_dir.clone();
    let images = Images::open(namespaces::Options::new(&data_dir).images())?;
    let named = images.clone();
    Ok(images.with_users(move |digest| {
        let mut users = namespaces::made_from(&data_dir, digest)?;
        for name in named.list()?.iter().filter(|image| image.digest == digest) {
            users.extend(wanted_from(&data_dir, &[&name.name, digest])?);
        }
        users.sort();
        users.dedup();
        Ok(users)
    }))
}

/// The sandboxes that are being made from an image, by one of its names.
fn wanted_from(data_dir: &Path, names: &[&str]) -> Result<Vec<String>, helix_isolation::Error> {
    let failed = |error: Error| helix_isolation::Error::new(ErrorKind::Failed, error.to_string());
    let records = Records::open(data_dir).and_then(|records| records.all());
    let records = records.map_err(failed)?.into_iter();
    let from = |rootfs: &Rootfs| matches!(rootfs, Rootfs::Image { image } if names.contains(&image.as_str()));
    let wanted = records.filter(|record| !record.life.made && from(&record.spec.rootfs));
    Ok(wanted.map(|record| record.spec.id.to_string()).collect())
}

/// What this machine can do and what it cannot, with the reasons. Where there are no
/// sandboxes, nothing that it made to find out is left beside the data directory.
///
/// # Errors
///
/// As [`of_options`], and where a host that runs uses the data directory.
pub async fn check(options: &HostOptions) -> Result<Vec<HostCapability>, Error> {
    check_backend(options)?;
    let (clock, tasks) = (Arc::new(SystemClock), TaskGroup::new());
    let (capabilities, disposed) = match options.isolation.backend {
        Backend::Namespaces => {
            let settings = settings(options).await;
            let namespaces = Namespaces::new(settings, clock, tasks).await?;
            (namespaces.capabilities(), namespaces.dispose().await)
        }
        Backend::Docker => {
            let (containers, networks) = in_containers(options, clock, &tasks).await?;
            (containers.capabilities(), networks.close().await)
        }
    };
    match disposed {
        // There are sandboxes, which need it.
        Err(error) if error.kind() == ErrorKind::Conflict => {}
        disposed => disposed?,
    }
    Ok(capabilities)
}

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// Sandboxes.
    pub sandboxes: usize,
    /// Snapshots.
    pub snapshots: usize,
}

/// Deletes every sandbox and every snapshot, and what holds them on this machine.
///
/// # Errors
///
/// As [`of_options`], and where a host that runs uses the data directory.
pub async fn purge(options: &HostOptions) -> Result<Purged, Error> {
    check_backend(options)?;
    let (clock, tasks) = (Arc::new(SystemClock), TaskGroup::new());
    let purged = match options.isolation.backend {
        Backend::Namespaces => {
            let settings = settings(options).await;
            let namespaces = Namespaces::new(settings, clock, tasks).await?;
            let purged = delete_all(&namespaces).await?;
            namespaces.dispose().await?;
            purged
        }
        Backend::Docker => {
            let (containers, networks) = in_containers(options, clock, &tasks).await?;
            let purged = delete_all(&containers).await?;
            networks.close().await?;
            purged
        }
    };
    let records = Records::open(&options.data_dir)?;
    for record in records.all()? {
        let path = options.data_dir.clone();
        records
            .remove(record.spec.id)
            .map_err(|source| Error::Data { path, source })?;
    }
    Ok(purged)
}

async fn delete_all(isolation: &dyn Isolation) -> Result<Purged, Error> {
    let (found, snapshots) = (isolation.found().await?, isolation.snapshots().await?);
    let purged = Purged {
        sandboxes: found.len(),
        snapshots: snapshots.len(),
    };
    for found in found {
        isolation.remove(found.environment.spec().id).await?;
    }
    for (snapshot, _) in snapshots {
        isolation.remove_snapshot(snapshot).await?;
    }
    Ok(purged)
}

/// Whether no sandbox of a backend can run without what is called so.
pub fn is_needed(backend: Backend, capability: &str) -> bool {
    let needed: &[&str] = match backend {
        Backend::Namespaces if namespaces::uses_own_ids() => &["namespaces"],
        Backend::Namespaces => &["namespaces", "limits", "disk_limit", "network"],
        Backend::Docker => &["limits", "system_call_filter", "network"],
    };
    needed.contains(&capability)
}

/// Logs what this machine cannot do.
pub fn say_what_cannot(backend: Backend, isolation: &dyn Isolation) {
    for HostCapability {
        name,
        available,
        detail,
    } in isolation.capabilities()
    {
        if available {
            continue;
        }
        if is_needed(backend, &name) {
            tracing::error!(name, detail, "no sandbox can run on this machine");
        } else {
            tracing::warn!(name, detail, "this machine cannot do it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mock::spec, records::Record};

    #[test]
    fn another_backend_is_refused_while_sandboxes_of_the_first_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = HostOptions {
            data_dir: folder.path().to_owned(),
            ..HostOptions::default()
        };
        options.isolation.backend = Backend::Docker;
        check_backend(&options).unwrap();
        let records = Records::open(folder.path()).unwrap();
        let record = Record {
            spec: spec(1),
            created_at_ms: 1,
            life: helix_isolation::lifecycle::Life::new(1),
        };
        records.save(&record).unwrap();
        let refused = check_backend(&options).unwrap_err().to_string();
        assert!(
            refused.contains("1 sandboxes of the backend namespaces"),
            "{refused}"
        );
        fs::write(folder.path().join(BACKEND_FILE), "docker").unwrap();
        check_backend(&options).unwrap();
        options.isolation.backend = Backend::Namespaces;
        check_backend(&options).unwrap_err();
        records.remove(record.spec.id).unwrap();
        check_backend(&options).unwrap();
    }
}
