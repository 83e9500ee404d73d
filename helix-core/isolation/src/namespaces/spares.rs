//! Disks that are there before a sandbox asks for one.
//!
//! To mount a disk takes longer than all the rest of a start: the kernel starts threads for
//! it, and writes its file back. So a few are kept, of the size that was asked for last,
//! each an empty disk that is mounted and attached nowhere. They hold nothing of any
//! sandbox. Their mounts and loop devices hang on descriptors of this process, so they end
//! with it, however it ends; only their directories are left then, which look like those of
//! sandboxes that were half made, and are removed as those are.

use std::{
    fs::File,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use helix_base::TaskGroup;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::{
    disk,
    loops::Loops,
    state::{DISK, Places},
};
use crate::Error;

/// Empty disks, mounted.
#[derive(Debug)]
pub(super) struct Spares {
    places: Places,
    /// Of all disks of the backend.
    pub(super) loops: Loops,
    most: usize,
    kept: Mutex<Kept>,
    wanted: Notify,
    /// Until the last one is made or given up, the place is this process'.
    _lock: Arc<File>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The size that was asked for last.
    bytes: u64,
    disks: Vec<Disk>,
    closed: bool,
}

/// An empty disk, in a directory that is to be a sandbox's.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) directory: TempDir,
    pub(super) mount: OwnedFd,
}

impl Spares {
    /// None yet: the first sandbox says of which size.
    pub(super) fn new(places: Places, most: usize, lock: Arc<File>) -> Self {
        Self {
            places,
            loops: Loops::default(),
            most,
            kept: Mutex::default(),
            wanted: Notify::new(),
            _lock: lock,
        }
    }

    /// An empty disk of this size: one that is there, or a new one. Blocks.
    pub(super) fn take(&self, bytes: u64) -> Result<Disk, Error> {
        let (found, others) = {
            let mut kept = self.kept();
            let mut others = Vec::new();
            if kept.bytes != bytes {
                kept.bytes = bytes;
                others.append(&mut kept.disks);
            }
            (kept.disks.pop(), others)
        };
        self.wanted.notify_one();
        drop(others);
        match found {
            Some(disk) => Ok(disk),
            None => self.make(bytes),
        }
    }

    fn make(&self, bytes: u64) -> Result<Disk, Error> {
        let directory = self.places.half_made()?;
        let path = directory.path().join(DISK);
        disk::make(&self.places.templates(), &path, bytes)?;
        let mount = disk::mount(&self.loops, &path)?;
        Ok(Disk { directory, mount })
    }

    /// Makes as many as there should be, whenever one was taken, until the group drains.
    pub(super) fn fill(self: &Arc<Self>, tasks: &TaskGroup) {
        let (spares, group) = (Arc::clone(self), tasks.clone());
        tasks.spawn("spare disks", async move {
            loop {
                tokio::select! {
                    () = group.draining() => break,
                    () = spares.wanted.notified() => {}
                }
                let spares = Arc::clone(&spares);
                let filled = tokio::task::spawn_blocking(move || spares.fill_up());
                if let Ok(Err(error)) = filled.await {
                    // The next sandbox makes its own, and says why it cannot.
                    tracing::warn!(%error, "no disk could be made in advance");
                }
            }
            // An error is that of a runtime that ends: the disks end with it.
            let _ = tokio::task::spawn_blocking(move || spares.close()).await;
        });
    }

    fn fill_up(&self) -> Result<(), Error> {
        while let Some(bytes) = self.lacking() {
            let disk = self.make(bytes)?;
            let mut kept = self.kept();
            if kept.bytes == bytes && !kept.closed {
                kept.disks.push(disk);
            }
        }
        Ok(())
    }

    /// The size of a disk that should be there and is not.
    fn lacking(&self) -> Option<u64> {
        let kept = self.kept();
        (!kept.closed && kept.disks.len() < self.most).then_some(kept.bytes)
    }

    /// Removes them all, for good. Blocks.
    pub(super) fn close(&self) {
        let disks = {
            let mut kept = self.kept();
            kept.closed = true;
            std::mem::take(&mut kept.disks)
        };
        drop(disks);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
