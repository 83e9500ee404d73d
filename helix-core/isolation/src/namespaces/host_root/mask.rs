//! Layers that hide entries of the layer below.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs::{self, Metadata, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, chown},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use sha2::{Digest as _, Sha256};

use super::copy::is_readable;

/// How deep a tree is looked into.
const DEEPEST: usize = 100;

/// What of a directory is hidden, and which of its directories have something hidden.
#[derive(Debug, Default)]
pub(super) struct Mask {
    hidden: Vec<OsString>,
    below: Vec<(OsString, Self)>,
    mode: u32,
    owner: (u32, u32),
}

impl Mask {
    /// Looks through a tree on one file system.
    pub(super) fn of(tree: &Path, hidden: &HashSet<&Path>) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(tree)?;
        Self::look(tree, &metadata, hidden, DEEPEST)
    }

    fn look(
        path: &Path,
        metadata: &Metadata,
        hidden: &HashSet<&Path>,
        depth: usize,
    ) -> io::Result<Self> {
        let mut mask = Self {
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            ..Self::default()
        };
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_symlink() {
                continue;
            }
            // What went away meanwhile is hidden, in case it comes back.
            let child = entry.metadata().ok().filter(is_readable);
            match child {
                Some(child) if child.is_dir() => {
                    let path = entry.path();
                    if depth == 0 || hidden.contains(path.as_path()) {
                        mask.hidden.push(entry.file_name());
                    } else if child.dev() == metadata.dev() {
                        let below = Self::look(&path, &child, hidden, depth - 1)?;
                        if !below.is_empty() {
                            mask.below.push((entry.file_name(), below));
                        }
                    }
                }
                Some(_) => {}
                None => mask.hidden.push(entry.file_name()),
            }
        }
        mask.hidden.sort();
        mask.below.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(mask)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hidden.is_empty() && self.below.is_empty()
    }

    /// Makes the layer. A directory in it stands for the one below, so it has the same
    /// owner and mode.
    pub(super) fn make(&self, at: &Path) -> io::Result<()> {
        fs::create_dir(at)?;
        for name in &self.hidden {
            let path: PathBuf = at.join(name);
            let kind = FileType::CharacterDevice;
            mknodat(CWD, &path, kind, Mode::empty(), makedev(0, 0))?;
        }
        for (name, below) in &self.below {
            below.make(&at.join(name))?;
        }
        chown(at, Some(self.owner.0), Some(self.owner.1))?;
        fs::set_permissions(at, Permissions::from_mode(self.mode))
    }

    pub(super) fn digest(&self, digest: &mut Digest) {
        digest.add(format!("{:o} {:?}", self.mode, self.owner).as_bytes());
        for name in &self.hidden {
            digest.add(name.as_bytes());
        }
        digest.add(b"/");
        for (name, below) in &self.below {
            digest.add(name.as_bytes());
            below.digest(digest);
        }
    }
}

/// A name for what was found on the host.
pub(super) struct Digest(Sha256);

impl Digest {
    pub(super) fn new(version: &str) -> Self {
        let mut digest = Self(Sha256::new());
        digest.add(version.as_bytes());
        digest
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes.len().to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds what tells whether a tree changed, without reading its files.
    pub(super) fn tree(&mut self, tree: &Path) -> io::Result<()> {
        let Ok(metadata) = fs::symlink_metadata(tree) else {
            return Ok(());
        };
        self.add(tree.as_os_str().as_bytes());
        let facts = (
            metadata.mode(),
            (metadata.uid(), metadata.gid()),
            metadata.len(),
            (metadata.mtime(), metadata.mtime_nsec()),
        );
        self.add(format!("{facts:?}").as_bytes());
        // What is not readable is not copied.
        if metadata.is_dir() && is_readable(&metadata) {
            let mut entries: Vec<_> = fs::read_dir(tree)?
                .flatten()
                .map(|one| one.path())
                .collect();
            entries.sort();
            for entry in entries {
                self.tree(&entry)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> String {
        self.0
            .finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
