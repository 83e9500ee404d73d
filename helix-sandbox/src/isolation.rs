//! The default isolation, as the options say.

mod own_service;

use std::{path::PathBuf, sync::Arc};

use helix_base::{Clock, SystemClock, TaskGroup};
use helix_isolation::{
    ErrorKind, Isolation,
    namespaces::{self, Namespaces},
    network,
};
use helix_proto::{
    SandboxId,
    sandbox::{Rootfs, host::HostCapability},
};

use crate::{Error, HostOptions, records::Records};

/// Without these no sandbox can run.
const NEEDED: [&str; 4] = ["namespaces", "limits", "disk_limit", "network"];

/// Sandboxes of Linux namespaces, kept in the data directory; those that are there go on.
///
/// # Errors
///
/// Where the data directory cannot be used, or another process uses it.
pub async fn of_options(
    options: &HostOptions,
    clock: Arc<dyn Clock>,
    tasks: &TaskGroup,
) -> Result<Arc<dyn Isolation>, Error> {
    let namespaces = Namespaces::new(settings(options).await, clock, tasks.child()).await?;
    Ok(Arc::new(namespaces))
}

async fn settings(options: &HostOptions) -> namespaces::Options {
    let mut settings = namespaces::Options::new(&options.data_dir);
    if let Some(first_id) = options.isolation.first_id {
        settings.first_id = first_id;
    }
    settings.network = Some(network(options).await);
    settings
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

/// Where the images that sandboxes can start from are kept.
pub fn images_at(options: &HostOptions) -> PathBuf {
    options.data_dir.join("images")
}

/// The sandboxes that were made from an image, by its name.
///
/// # Errors
///
/// Where what the host wrote down cannot be read.
pub fn sandboxes_from(options: &HostOptions, name: &str) -> Result<Vec<SandboxId>, Error> {
    let from = |rootfs: &Rootfs| matches!(rootfs, Rootfs::Image { image } if image == name);
    let records = Records::open(&options.data_dir)?.all()?;
    let records = records.iter().map(|record| &record.spec);
    Ok(records
        .filter(|spec| from(&spec.rootfs))
        .map(|spec| spec.id)
        .collect())
}

/// What this machine can do and what it cannot, with the reasons. Where there are no
/// sandboxes, nothing that it made to find out is left beside the data directory.
///
/// # Errors
///
/// Where the data directory cannot be used, or a host that runs uses it.
pub async fn check(options: &HostOptions) -> Result<Vec<HostCapability>, Error> {
    let settings = settings(options).await;
    let namespaces = Namespaces::new(settings, Arc::new(SystemClock), TaskGroup::new()).await?;
    let capabilities = namespaces.capabilities();
    match namespaces.dispose().await {
        // There are sandboxes, which need it.
        Err(error) if error.kind() == ErrorKind::Conflict => {}
        disposed => disposed?,
    }
    Ok(capabilities)
}

/// Whether no sandbox can run without what is called so.
pub fn is_needed(capability: &str) -> bool {
    NEEDED.contains(&capability)
}

/// Logs what this machine cannot do.
pub fn say_what_cannot(isolation: &dyn Isolation) {
    for HostCapability {
        name,
        available,
        detail,
    } in isolation.capabilities()
    {
        if available {
            continue;
        }
        if is_needed(&name) {
            tracing::error!(name, detail, "no sandbox can run on this machine");
        } else {
            tracing::warn!(name, detail, "this machine cannot do it");
        }
    }
}
