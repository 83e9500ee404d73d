//! Where everything is.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use helix_proto::{SandboxId, sandbox::host::SandboxSpec};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::handshake;
use crate::{Error, ErrorKind};

/// The longest path of a socket, with the ending zero.
const LONGEST_SOCKET: usize = 108;

/// The data directory.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) data: PathBuf,
}

/// What is kept of a sandbox besides its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) spec: SandboxSpec,
    /// Its place in the network, from before it starts until it is cleared.
    pub(super) slot: Option<u32>,
    /// Whether its guest was told everything: a start that was cut leaves this false.
    pub(super) ready: bool,
    /// The containers that are joined to it, and their interfaces for that.
    pub(super) joined: BTreeMap<String, String>,
}

impl Places {
    /// Makes the directories, which only this user may enter.
    pub(super) fn open(data: &Path) -> Result<Self, Error> {
        let failed = |error| Error::io(data.display(), error);
        fs::create_dir_all(data).map_err(failed)?;
        fs::set_permissions(data, Permissions::from_mode(0o700)).map_err(failed)?;
        let places = Self {
            data: data.canonicalize().map_err(failed)?,
        };
        for path in [
            places.sandboxes(),
            places.run(),
            places.sockets(),
            places.guest(),
        ] {
            fs::create_dir_all(&path).map_err(|error| Error::io(path.display(), error))?;
        }
        let socket = places.sockets().join("sbx_00000000000000000000000000.sock");
        if socket.as_os_str().len() >= LONGEST_SOCKET {
            let message = format!(
                "{} is too long for the path of a socket: choose a shorter data directory",
                socket.display()
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(places)
    }

    /// A name for this place that no other has on this machine.
    pub(super) fn tag(&self) -> String {
        let digest = Sha256::digest(self.data.as_os_str().as_encoded_bytes());
        digest
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    pub(super) fn sandboxes(&self) -> PathBuf {
        self.data.join("sandboxes")
    }

    fn kept(&self, id: SandboxId) -> PathBuf {
        self.sandboxes().join(format!("{id}.json"))
    }

    fn run(&self) -> PathBuf {
        self.data.join("run")
    }

    /// What the guest's program is made of: shown inside.
    pub(super) fn guest(&self) -> PathBuf {
        self.data.join("guest")
    }

    /// Shown inside, and only the host writes to it.
    pub(super) fn door(&self, id: SandboxId) -> PathBuf {
        self.run().join(id.to_string())
    }

    fn sockets(&self) -> PathBuf {
        self.data.join("sockets")
    }

    /// Where the guest is asked. Never shown inside: nothing there can put a link in its
    /// place.
    pub(super) fn socket(&self, id: SandboxId) -> PathBuf {
        self.sockets().join(format!("{id}.sock"))
    }

    /// Makes the folder of the door, which must be there as long as the container.
    pub(super) fn make_door(&self, id: SandboxId) -> io::Result<PathBuf> {
        let door = self.door(id);
        fs::create_dir_all(&door)?;
        fs::set_permissions(&door, Permissions::from_mode(0o755))?;
        Ok(door)
    }

    /// Removes what only a running sandbox has.
    pub(super) fn clear(&self, id: SandboxId) -> io::Result<()> {
        gone(fs::remove_file(self.socket(id)))?;
        handshake::forget(&self.door(id))
    }

    /// Removes everything of a sandbox, the note of it last.
    pub(super) fn forget(&self, id: SandboxId) -> Result<(), Error> {
        let forget = || {
            gone(fs::remove_file(self.socket(id)))?;
            gone(fs::remove_dir_all(self.door(id)))?;
            gone(fs::remove_file(self.kept(id)))
        };
        forget().map_err(|error| Error::io(format_args!("removing the files of {id}"), error))
    }

    /// Removes the doors of sandboxes that do not exist.
    pub(super) fn tidy(&self, exists: impl Fn(SandboxId) -> bool) -> Result<(), Error> {
        let failed = |error| Error::io(self.run().display(), error);
        for entry in fs::read_dir(self.run()).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.parse().ok())
                && !exists(id)
            {
                self.forget(id)?;
            }
        }
        Ok(())
    }

    pub(super) fn write(&self, kept: &Kept) -> Result<(), Error> {
        let path = self.kept(kept.spec.id);
        let write = || -> io::Result<()> {
            let temporary = path.with_extension("new");
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&serde_json::to_vec(kept)?)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|error| Error::io(path.display(), error))
    }

    /// Everything that is kept. What was half written is removed.
    pub(super) fn read_all(&self) -> Result<Vec<Kept>, Error> {
        let place = self.sandboxes();
        let failed = |error| Error::io(place.display(), error);
        let mut all = Vec::new();
        for entry in fs::read_dir(&place).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "new") {
                fs::remove_file(&path).map_err(failed)?;
                continue;
            }
            let text = fs::read(&path).map_err(failed)?;
            match serde_json::from_slice(&text) {
                Ok(kept) => all.push(kept),
                Err(error) => {
                    return Err(Error::new(
                        ErrorKind::Failed,
                        format!("{} cannot be read: {error}", path.display()),
                    ));
                }
            }
        }
        Ok(all)
    }
}

/// What is not there needs no removing.
pub(super) fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
