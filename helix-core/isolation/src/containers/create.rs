//! Making a sandbox's container.

use std::{collections::BTreeMap, sync::Arc};

use bollard::query_parameters::CreateContainerOptionsBuilder;
use helix_proto::sandbox::{
    Rootfs,
    host::{Origin, SandboxSpec},
};
use tokio_util::sync::CancellationToken;

use super::{
    Backend, capabilities,
    daemon::{failed, still_wanted, to_the_end},
    images::Image,
    places::Kept,
    sandbox::{Sandbox, State},
};
use crate::{Error, ErrorKind, network::policy::Policy};

pub(super) async fn create(
    backend: &Arc<Backend>,
    spec: &SandboxSpec,
) -> Result<Arc<Sandbox>, Error> {
    if let Some(sandbox) = backend.get(spec.id) {
        return Ok(sandbox);
    }
    check(backend, spec)?;
    let (owned, spec) = (Arc::clone(backend), spec.clone());
    to_the_end(&backend.tasks, "make a sandbox", |dropped| async move {
        let turn = owned.turn(spec.id);
        let _turn = turn.lock().await;
        if let Some(sandbox) = owned.get(spec.id) {
            return Ok(sandbox);
        }
        let made = make(&owned, &spec, &dropped).await;
        if made.is_err()
            && let Err(error) = owned.unmake(&spec).await
        {
            tracing::warn!(id = %spec.id, %error, "a sandbox that could not be made left something");
        }
        made
    })
    .await
}

fn check(backend: &Backend, spec: &SandboxSpec) -> Result<(), Error> {
    let mut needed = capabilities::NEEDED.to_vec();
    if spec.docker {
        needed.push("docker");
    }
    if spec.desktop.is_some() {
        needed.push("desktop");
    }
    if spec.rootfs == Rootfs::Host {
        needed.push("host_rootfs");
    }
    for needed in needed {
        if let Some(why) = capabilities::missing(&backend.capabilities, needed) {
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
    }
    let limits = spec.limits.check();
    limits.map_err(|why| Error::new(ErrorKind::Invalid, why))?;
    Policy::parse(&spec.egress)?;
    Ok(())
}

async fn make(
    backend: &Arc<Backend>,
    spec: &SandboxSpec,
    dropped: &CancellationToken,
) -> Result<Arc<Sandbox>, Error> {
    let image = image(backend, spec).await?;
    still_wanted(dropped)?;
    let (common, id) = (&backend.common, spec.id);
    let door = common.places.make_door(id);
    door.map_err(|error| Error::io("making the folder that a sandbox sees", error))?;
    let name = CreateContainerOptionsBuilder::new()
        .name(&common.container(id))
        .build();
    let made = backend
        .docker
        .create_container(Some(name), common.body(spec, &image));
    made.await
        .map_err(failed(format_args!("making the container of {id}")))?;
    still_wanted(dropped)?;
    let kept = Kept {
        spec: spec.clone(),
        slot: None,
        ready: false,
        joined: BTreeMap::new(),
    };
    common.places.write(&kept)?;
    let sandbox = Arc::new(Sandbox::new(backend, kept, State::default()));
    backend.sandboxes().insert(id, Arc::clone(&sandbox));
    Ok(sandbox)
}

/// What its files begin as.
async fn image(backend: &Arc<Backend>, spec: &SandboxSpec) -> Result<Image, Error> {
    let no = |origin: &dyn std::fmt::Display| {
        let message = format!("there is no {origin} on this host");
        Error::new(ErrorKind::NotFound, message)
    };
    match (spec.origin, &spec.rootfs) {
        (Some(Origin::Snapshot(id)), _) => {
            let image = backend.images.start_from(id, spec.id).await?;
            image.ok_or_else(|| no(&format_args!("snapshot {id}")))
        }
        (Some(Origin::Sandbox(id)), _) => {
            let origin = backend.get(id);
            let origin = origin.ok_or_else(|| no(&format_args!("sandbox {id}")))?;
            origin.fork(backend, spec.id).await
        }
        (None, Rootfs::Image { image }) => backend.images.named(image).await,
        (None, Rootfs::Host) => Err(Error::new(
            ErrorKind::Unsupported,
            "a container cannot start from the host's own system",
        )),
    }
}

impl Backend {
    /// Removes what was made of a sandbox that could not be made whole.
    async fn unmake(&self, spec: &SandboxSpec) -> Result<(), Error> {
        self.remove_container(&self.common.container(spec.id))
            .await?;
        if spec.origin.is_some() {
            self.images.remove_base(spec.id).await?;
        }
        self.common.places.forget(spec.id)
    }
}
