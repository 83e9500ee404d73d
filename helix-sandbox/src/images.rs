//! `helix-sandbox image …`: works beside a host that runs, which sees the change at once.

use anyhow::Context as _;
use helix_base::SystemClock;
use helix_sandbox::{Backend, HostOptions, isolation};

use crate::cli::{ImageCommand, say};

pub(crate) async fn act(command: ImageCommand, options: &HostOptions) -> anyhow::Result<()> {
    anyhow::ensure!(
        options.isolation.backend == Backend::Namespaces,
        "sandboxes in containers start from the images of the Docker daemon: look after them \
         with `docker pull`, `docker load`, `docker images` and `docker rmi`"
    );
    let images = isolation::images(options)?;
    let done = tokio::task::spawn_blocking(move || {
        match command {
            ImageCommand::Import { from, name } => {
                // Progress is for whoever watches: the import goes on without.
                let mut tell = |step: &str| drop(say(step));
                let image = images.import(&from, &name, &SystemClock, &mut tell)?;
                let size = image.size_bytes >> 20;
                say(&format!("{} is {} ({size} MiB)", image.name, image.digest))
            }
            ImageCommand::List => images.list()?.iter().try_for_each(|image| {
                let size = image.size_bytes >> 20;
                say(&format!("{}\t{}\t{size} MiB", image.name, image.digest))
            }),
            ImageCommand::Remove { name } => {
                images.remove(&name)?;
                say(&format!("{name} is removed"))
            }
        }
    });
    done.await.context("the images were not looked after")?
}
