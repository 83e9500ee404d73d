//! What is kept on disk about a sandbox.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use helix_proto::sandbox::host::SandboxSpec;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tempfile::TempDir;

use super::{
    disk,
    launch::{Cgroups, Layered},
    process::Identity,
};
use crate::{Error, ErrorKind};

/// What the disk in a sandbox's directory is called.
pub(super) const DISK: &str = "disk.img";

/// The directories of a backend.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) data: PathBuf,
}

/// What the backend itself knows about a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Its ids on the host are this one and those after it.
    pub(super) first_id: u32,
    /// Its file systems, which stay as they are whatever becomes of the host.
    pub(super) layers: Vec<Layered>,
    /// Its cgroups, from the moment at which they may exist.
    #[serde(default)]
    pub(super) cgroups: Option<Cgroups>,
    /// Its first process, from the moment at which it may run.
    #[serde(default)]
    pub(super) process: Option<Identity>,
    /// Whether it was told to stand still.
    #[serde(default)]
    pub(super) paused: bool,
    /// Its network, from the moment at which it may exist.
    #[serde(default)]
    pub(super) network: Option<u32>,
}

impl Places {
    pub(super) fn sandboxes(&self) -> PathBuf {
        self.data.join("sandboxes")
    }

    pub(super) fn sandbox(&self, id: &str) -> PathBuf {
        self.sandboxes().join(id)
    }

    /// A directory that is to be a sandbox's. It goes unless it gets a sandbox's name.
    pub(super) fn half_made(&self) -> Result<TempDir, Error> {
        tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(self.sandboxes())
            .map_err(|error| Error::io("making the sandbox's directory", error))
    }

    pub(super) fn spec(&self, id: &str) -> PathBuf {
        self.sandbox(id).join("spec.json")
    }

    pub(super) fn state(&self, id: &str) -> PathBuf {
        self.sandbox(id).join("state.json")
    }

    pub(super) fn disk(&self, id: &str) -> PathBuf {
        self.sandbox(id).join(DISK)
    }

    /// Says that the disk is frozen for a copy; gone when it is not.
    pub(super) fn copying(&self, id: &str) -> PathBuf {
        self.sandbox(id).join("copying")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.data.join("snapshots")
    }

    pub(super) fn snapshot(&self, id: &str) -> PathBuf {
        self.snapshots().join(format!("{id}.img"))
    }

    /// What the sandbox of a snapshot was made from.
    pub(super) fn snapshot_layers(&self, id: &str) -> PathBuf {
        self.snapshots().join(format!("{id}{LAYERS}"))
    }

    pub(super) fn templates(&self) -> PathBuf {
        self.data.join("templates")
    }

    pub(super) fn host(&self) -> PathBuf {
        self.data.join("host")
    }

    pub(super) fn run(&self) -> PathBuf {
        self.data.join("run")
    }

    pub(super) fn stage(&self) -> PathBuf {
        self.run().join("stage")
    }

    pub(super) fn socket(&self, id: &str) -> PathBuf {
        self.run().join(format!("{id}.sock"))
    }
}

/// What was read of a sandbox's files.
pub(super) fn read(places: &Places, id: &str) -> io::Result<(SandboxSpec, State)> {
    Ok((read_json(&places.spec(id))?, read_json(&places.state(id))?))
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// Replaces a file at once: after a crash there is the old one or the new one.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    drop(file);
    std::fs::rename(&temporary, path)
}

/// How the name of a file ends that says what a snapshot's sandbox was made from. It is
/// written beside the disk, under another name until it is whole.
pub(super) const LAYERS: &str = ".layers.json";

/// The longest path of a socket, with the ending zero.
const LONGEST_SOCKET: usize = 108;

impl Places {
    /// Makes the directories, which only this user may enter, and removes what an earlier
    /// process left half made.
    pub(super) fn check(&self) -> Result<(), Error> {
        let socket = self.socket("sbx_00000000000000000000000000");
        if socket.as_os_str().len() >= LONGEST_SOCKET {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "{} is too long for the path of a socket: choose a shorter data directory",
                    socket.display()
                ),
            ));
        }
        for path in [
            self.sandboxes(),
            self.snapshots(),
            self.templates(),
            self.host(),
            self.stage(),
        ] {
            std::fs::create_dir_all(&path).map_err(|error| Error::io(path.display(), error))?;
        }
        for place in [self.snapshots(), self.templates()] {
            let failed = |error| Error::io(place.display(), error);
            for entry in std::fs::read_dir(&place).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let ends = |ending: &str| path.extension().is_some_and(|it| it == ending);
                let name = path.file_name().and_then(|name| name.to_str());
                let of = name.and_then(|name| name.strip_suffix(LAYERS));
                let belongs = of.is_some_and(|id| self.snapshot(id).exists());
                if !ends("img") && !belongs {
                    disk::remove(&path).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// A name for this place that no other has on this machine.
    pub(super) fn tag(&self) -> String {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(self.data.as_os_str().as_encoded_bytes());
        let digits: String = digest
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("helix-{digits}")
    }
}
