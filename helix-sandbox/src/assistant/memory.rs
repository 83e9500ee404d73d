//! What was said in sessions, kept in a folder.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::Value;

/// The folder, and what the client offers.
#[derive(Debug)]
pub(super) struct Memory {
    folder: PathBuf,
    shell: AtomicBool,
}

impl Memory {
    pub(super) const fn at(folder: PathBuf) -> Self {
        Self {
            folder,
            shell: AtomicBool::new(false),
        }
    }

    /// Whether the client runs programs.
    pub(super) fn offer_shell(&self, offered: bool) {
        self.shell.store(offered, Ordering::Relaxed);
    }

    pub(super) fn has_shell(&self) -> bool {
        self.shell.load(Ordering::Relaxed)
    }

    /// The messages of a session.
    pub(super) fn read(&self, id: &str) -> Result<Vec<Value>, String> {
        let path = self.path(id)?;
        let text = fs::read(&path).map_err(|error| format!("session {id}: {error}"))?;
        serde_json::from_slice(&text).map_err(|error| format!("session {id}: {error}"))
    }

    /// Keeps them, all or nothing.
    pub(super) fn write(&self, id: &str, messages: &[Value]) -> Result<(), String> {
        let path = self.path(id)?;
        let written = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .and_then(|()| {
                let fresh = path.with_extension("new");
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&fresh)?;
                file.write_all(&serde_json::to_vec(messages)?)?;
                fs::rename(&fresh, &path)
            });
        written.map_err(|error| format!("the session cannot be kept: {error}"))
    }

    /// An id of this program's, and nothing that leads elsewhere.
    fn path(&self, id: &str) -> Result<PathBuf, String> {
        let plain = id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !plain || id.len() > 64 {
            return Err(format!("{id:?} is no session of this agent"));
        }
        Ok(self.folder.join(format!("{id}.json")))
    }
}
