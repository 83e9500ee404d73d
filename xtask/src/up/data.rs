//! The data folder: what is kept in it, and who may read it.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock, statvfs};

/// What must be free on its disk: an engine, a database that grows, logs.
const NEEDED_BYTES: u64 = 512 << 20;

/// The data folder, held by one `up` at a time.
#[derive(Debug)]
pub(crate) struct Data {
    folder: PathBuf,
    _lock: File,
}

impl Data {
    /// Makes the folder if need be, and holds it.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let making = || format!("making the data folder {}", folder.display());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(making)?;
        let folder = folder.canonicalize().with_context(making)?;
        for inner in ["logs", "models", "runner", "sandbox"] {
            let inner = folder.join(inner);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(inner)
                .with_context(making)?;
        }
        let disk =
            statvfs(&folder).with_context(|| format!("asking about {}", folder.display()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        ensure!(
            free >= NEEDED_BYTES,
            "the disk of {} has {} MB free and {} MB are needed: make room, or choose another \
             folder with --data DIR",
            folder.display(),
            free >> 20,
            NEEDED_BYTES >> 20
        );
        let lock = File::create(folder.join("up.lock")).context("making the lock file")?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another `up` runs on {}: stop it, or choose another --data",
                folder.display()
            );
        }
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// The folder itself, which is also the control plane's.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the runner keeps what is its own.
    pub(crate) fn runner(&self) -> PathBuf {
        self.folder.join("runner")
    }

    /// The runner's credential.
    pub(crate) fn credential_file(&self) -> PathBuf {
        self.runner().join("credential")
    }

    /// Where the sandbox host keeps what is its own.
    pub(crate) fn sandbox(&self) -> PathBuf {
        self.folder.join("sandbox")
    }

    /// Weights that were copied here.
    pub(crate) fn models(&self) -> PathBuf {
        self.folder.join("models")
    }

    /// What the daemons say.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The admin account, for tools and people.
    pub(crate) fn account_file(&self) -> PathBuf {
        self.folder.join("dev.json")
    }

    /// The one-time link with which the first account is made.
    pub(crate) fn setup_link_file(&self) -> PathBuf {
        self.folder.join("setup-link")
    }
}

/// Writes a file that only its owner may read, all of it or nothing.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&beside).with_context(writing)?;
    file.write_all(content.as_bytes()).with_context(writing)?;
    file.sync_all().with_context(writing)?;
    fs::rename(&beside, path).with_context(writing)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_is_held_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Data::open(&folder.path().join("data")).unwrap();
        let error = Data::open(first.folder()).unwrap_err().to_string();
        assert!(error.starts_with("another `up` runs on"), "{error}");
        let path = first.folder().to_owned();
        drop(first);
        Data::open(&path).unwrap();
    }

    #[test]
    fn what_is_private_is_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_private(&path, "one").unwrap();
        write_private(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
