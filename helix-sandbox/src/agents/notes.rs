//! What a host notes of an agent's process besides its thread: enough to find it again after the
//! host was restarted, and to go on talking to it. None of it outlives the machine, as the
//! process does not; so it is on the disk soon, but not before anything else.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use helix_proto::ExecId;
use serde::{Deserialize, Serialize};

use super::acp::{Acp, Call};

/// The notes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Notes {
    /// The process' number.
    pub(super) run: u64,
    /// Its program in the sandbox.
    pub(super) exec: ExecId,
    pub(super) acp: Acp,
    /// Requests of lines up to here are answered, or among the calls.
    pub(super) served: u64,
    pub(super) last_call: u64,
    /// Requests that are not answered.
    pub(super) calls: BTreeMap<u64, Call>,
    /// Its terminals, by the name that it knows them by.
    pub(super) terminals: BTreeMap<String, Terminal>,
}

/// A program that runs for the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terminal {
    pub(super) exec: ExecId,
    /// Bytes of its output that the agent wants at most.
    pub(super) limit: usize,
    /// The last event of it that readers know.
    pub(super) told: u64,
    /// Bytes of output that readers were told of, and that they were not.
    pub(super) shown: u64,
    pub(super) omitted: u64,
    /// Whether readers know that it ended.
    pub(super) ended: bool,
}

/// Where notes are.
#[derive(Debug, Clone)]
pub(super) struct Notebook(PathBuf);

impl Notebook {
    pub(super) const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// What is noted, if it can be read. Blocks, shortly.
    pub(super) fn read(&self) -> Option<Notes> {
        serde_json::from_slice(&fs::read(&self.0).ok()?).ok()
    }

    /// Notes all of it or nothing. Blocks, shortly: nothing waits for the disk.
    ///
    /// # Errors
    ///
    /// The disk is full.
    pub(super) fn write(&self, notes: &Notes) -> io::Result<()> {
        let fresh = self.0.with_extension("notes-new");
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .and_then(|mut file| file.write_all(&serde_json::to_vec(notes)?));
        if let Err(error) = written {
            let _ = fs::remove_file(&fresh);
            return Err(error);
        }
        fs::rename(&fresh, &self.0)
    }

    /// Forgets it. Idempotent.
    pub(super) fn remove(&self) {
        let path: &Path = &self.0;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "an agent's notes stay behind");
            }
            _ => {}
        }
    }
}
