//! What a host writes down about each sandbox, so that a host that starts again goes on
//! where the last one was.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use helix_isolation::lifecycle::Life;
use helix_proto::{SandboxId, sandbox::host::SandboxSpec};
use serde::{Deserialize, Serialize};

use crate::Error;

/// One sandbox, written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) spec: SandboxSpec,
    pub(crate) created_at_ms: u64,
    pub(crate) life: Life,
}

/// The folder of the records.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    folder: PathBuf,
}

impl Records {
    /// Makes the folder if need be.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, Error> {
        let folder = data_dir.join("lives");
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        match made {
            Ok(()) => Ok(Self { folder }),
            Err(source) => Err(Error::Data {
                path: folder,
                source,
            }),
        }
    }

    /// All of them. One that cannot be read is left out, with a warning: what exists is
    /// found without it.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub(crate) fn all(&self) -> Result<Vec<Record>, Error> {
        let broken = |source| Error::Data {
            path: self.folder.clone(),
            source,
        };
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(broken)? {
            let path = entry.map_err(broken)?.path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let record = fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?));
            match record {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a record cannot be read");
                }
            }
        }
        Ok(records)
    }

    /// Writes one down, all of it or nothing. Blocks.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(crate) fn save(&self, record: &Record) -> io::Result<()> {
        let path = self.path(record.spec.id);
        let fresh = path.with_extension("new");
        let mut file = fs::File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)
    }

    /// Forgets one. Idempotent.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub(crate) fn remove(&self, id: SandboxId) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, id: SandboxId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::spec;

    #[test]
    fn what_was_written_down_is_read_again_and_what_is_torn_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path()).unwrap();
        let record = Record {
            spec: spec(1),
            created_at_ms: 5,
            life: Life::new(7),
        };
        records.save(&record).unwrap();
        fs::write(folder.path().join("lives/torn.json"), "{\"spec\":").unwrap();
        assert_eq!(records.all().unwrap(), std::slice::from_ref(&record));
        records.remove(record.spec.id).unwrap();
        records.remove(record.spec.id).unwrap();
        assert_eq!(records.all().unwrap(), []);
    }
}
