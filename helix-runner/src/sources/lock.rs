use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
    time::Duration,
};

/// How often a lock that someone else holds is tried.
const RETRY: Duration = Duration::from_millis(200);

/// Keeps a folder to one user at a time, over tasks and processes. The kernel
/// lets go of it when its holder ends, however it ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Waits until the folder is free. The wait ends when its future is dropped.
    pub(crate) async fn acquire(folder: &Path) -> io::Result<Self> {
        let file = File::create(folder.join(".lock"))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(RETRY).await,
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}
