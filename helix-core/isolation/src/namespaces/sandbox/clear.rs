//! The end of a sandbox: of its processes, and of everything.

use std::{fs, io, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{Running, Sandbox};
use crate::{Error, ErrorKind, namespaces::loops};

/// How long the kernel may take for what it does at once: killing, freezing, unmounting.
const KERNEL: Duration = Duration::from_secs(20);
/// How often it is asked again.
const AGAIN: Duration = Duration::from_millis(1);

impl Sandbox {
    /// Ends all its processes and frees everything but its files, from any state.
    pub(in crate::namespaces) async fn clear(&self) -> Result<(), Error> {
        if let Some(stage) = self.stage_is(None) {
            stage.end().await?;
        }
        self.unmount().await;
        self.kill()?;
        // Without a place in the network nothing is reached, whatever still ends.
        tokio::try_join!(self.end_processes(), self.leave_network())?;
        self.change(|state| {
            state.process = None;
            state.cgroups = None;
            state.network = None;
            state.paused = false;
        })
    }

    fn kill(&self) -> Result<(), Error> {
        self.process.send_modify(|running| {
            if let Some(running) = running {
                running.stopping = true;
            }
        });
        let running = self.process.borrow().clone();
        let Some(running) = running else {
            return Ok(());
        };
        running
            .process
            .kill()
            .map_err(|error| Error::io("killing the sandbox's first process", error))?;
        self.thaw_to_die(&running);
        Ok(())
    }

    /// Waits for their end, and frees what hung on them.
    async fn end_processes(&self) -> Result<(), Error> {
        let running = self.process.borrow().clone();
        if let Some(running) = running {
            timeout(KERNEL, running.process.ended())
                .await
                .map_err(|_| self.late("its processes do not end"))?;
            self.process.send_replace(None);
        }
        self.clear_cgroups().await?;
        match fs::remove_file(self.places.socket(&self.name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("removing its socket", error));
            }
            _ => {}
        }
        let disk = self.places.disk(&self.name);
        self.until("its disk is still mounted", || {
            loops::devices_of(&disk).is_empty()
        })
        .await
    }

    /// Lets go of a disk that was mounted for a start that did not come.
    pub(super) async fn unmount(&self) {
        if let Some(disk) = self.take_disk() {
            // An error is that of a runtime that ends; the disk is let go all the same.
            let _ = tokio::task::spawn_blocking(move || drop(disk)).await;
        }
    }

    /// What stands still does not die in control groups of version 1.
    fn thaw_to_die(&self, running: &Running) {
        if let Some(cgroups) = self.state().cgroups
            && let Err(error) = cgroups.freeze(false, running.first())
        {
            tracing::debug!(id = %self.id, %error, "its control groups cannot be thawed");
        }
    }

    /// Kills what is left in the cgroups, which is what a start that was cut short left,
    /// and removes them.
    async fn clear_cgroups(&self) -> Result<(), Error> {
        let Some(cgroups) = self.state().cgroups else {
            return Ok(());
        };
        self.until("its control groups cannot be removed", || {
            cgroups.kill().and_then(|()| cgroups.remove()).is_ok()
        })
        .await
    }

    async fn leave_network(&self) -> Result<(), Error> {
        let Some(index) = self.state().network else {
            return Ok(());
        };
        // While the backend is being made, its network removes what nobody lives in.
        let networks = self
            .backend
            .upgrade()
            .and_then(|backend| backend.networks.clone());
        match networks {
            Some(networks) => {
                let slot = networks.take(self.id, Some(index))?;
                networks.release(&slot).await
            }
            None => Ok(()),
        }
    }

    /// Waits until the kernel is through with something.
    pub(super) async fn until(
        &self,
        late: &str,
        done: impl Fn() -> bool + Send,
    ) -> Result<(), Error> {
        let asked = async {
            while !done() {
                sleep(AGAIN).await;
            }
        };
        timeout(KERNEL, asked).await.map_err(|_| self.late(late))
    }

    fn late(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::Timeout,
            format!("the sandbox {}: {what} after {KERNEL:?}", self.id),
        )
    }

    /// Removes it with everything of it.
    pub(in crate::namespaces) async fn remove(&self) -> Result<(), Error> {
        let _turn = Arc::clone(&self.turn).lock_owned().await;
        self.facts().removed = true;
        self.clear().await?;
        let place = self.places.sandbox(&self.name);
        let gone = self.places.sandboxes().join(format!(".gone-{}", self.name));
        let failed = |error| Error::io(format_args!("removing the files of {}", self.id), error);
        match fs::rename(&place, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(failed)?,
        }
        let removed = tokio::task::spawn_blocking(move || match fs::remove_dir_all(&gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        });
        removed
            .await
            .map_err(io::Error::other)
            .and_then(|result| result)
            .map_err(failed)?;
        if let Some(backend) = self.backend.upgrade() {
            backend.give_range(self.state().first_id);
        }
        Ok(())
    }
}
