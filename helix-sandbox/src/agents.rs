//! Agents at work in this host's sandboxes: their processes, their threads on the disk, and the
//! connection on which the control plane follows and directs them (`docs/agent-sync.md`).
//!
//! The machine is `helix_agent::host`; here are its driver ([`driver`]), its disk ([`journal`]),
//! its connection ([`connection`]) and the processes ([`process`]), which speak ACP ([`acp`]) and ask
//! models by way of this host ([`models`]).
//! Everything that an agent wants of files or programs is done inside its sandbox, through its
//! guest, as the sandbox's unprivileged user.

mod acp;
mod batch;
mod connection;
mod driver;
pub(crate) mod editors;
mod journal;
mod lines;
mod models;
mod notes;
mod place;
mod prepare;
mod process;
#[cfg(test)]
mod tests;

pub(crate) use self::acp::content;

use helix_base::{Outbound, SecretString, TaskGroup};
use tokio::sync::mpsc;
use url::Url;

use self::{connection::Sync, driver::Driver, models::Models};
use crate::{Error, sandboxes::Sandboxes};

/// What the control plane said and is not taken yet, at most: it waits.
const HEARD: usize = 256;

/// Begins to host agents for a control plane, with the threads that an earlier host had, until
/// the group drains.
///
/// # Errors
///
/// The place of the threads, the URL or the credential cannot be used.
pub(crate) async fn begin(
    sandboxes: Sandboxes,
    server: &Url,
    credential: SecretString,
    outbound: Outbound,
    tasks: &TaskGroup,
) -> Result<(), Error> {
    let (hear, heard) = mpsc::channel(HEARD);
    let models = Models::new(server, outbound.clone(), tasks.clone());
    let sync = Sync::new(server, credential, outbound, hear)?;
    let group = tasks.clone();
    let restored =
        tokio::task::spawn_blocking(move || Driver::restore(sandboxes, models, group, heard));
    let (driver, steps) = restored
        .await
        .map_err(|_| Error::Machine("the host ends".to_owned()))??;
    tasks.spawn("agents", Box::pin(driver.run(steps)));
    tasks.spawn("agent sync", Box::pin(sync.run(tasks.clone())));
    Ok(())
}
