//! `helix-sandbox docker-image …`: works beside a host that runs.

use std::sync::Arc;

use anyhow::Context as _;
use helix_base::{SystemClock, daemon::Signals};
use helix_isolation::{docker::images::DockerImages, namespaces::import_docker_image};
use helix_proto::sandbox::host::HostImage;
use helix_sandbox::{Backend, HostOptions, isolation};

use crate::cli::{DockerImageCommand, say};

pub(crate) async fn act(command: DockerImageCommand, options: &HostOptions) -> anyhow::Result<()> {
    anyhow::ensure!(
        options.isolation.backend == Backend::Namespaces,
        "sandboxes in containers have no Docker daemon of their own, so no images for one"
    );
    let settings = isolation::of_namespaces(options);
    let store = DockerImages::open(settings.docker_images());
    match command {
        DockerImageCommand::Import { from } => {
            let mut signals = Signals::new().context("cannot listen for signals")?;
            // Progress is for whoever watches: the import goes on without.
            let tell = |step: &str| drop(say(step));
            let clock = Arc::new(SystemClock);
            let stop = signals.next();
            let imported = import_docker_image(&settings, &from, clock, &tell, stop).await?;
            imported.iter().try_for_each(show)
        }
        DockerImageCommand::List => store?.list()?.iter().try_for_each(show),
        DockerImageCommand::Remove { name } => {
            let store = store?;
            let removed = tokio::task::spawn_blocking(move || {
                store.remove(&name)?;
                say(&format!("{name} is removed"))
            });
            removed.await.context("the image was not removed")?
        }
    }
}

fn show(image: &HostImage) -> anyhow::Result<()> {
    let size = image.size_bytes >> 20;
    say(&format!("{}\t{}\t{size} MiB", image.name, image.digest))
}
