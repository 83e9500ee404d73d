//! Which name is which image: one file, replaced whole.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use helix_proto::sandbox::host::HostImage;
use rustix::fs::FlockOperation;

use crate::{Error, ErrorKind};

/// The list, and while it may be changed, the lock on it.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    images: Vec<HostImage>,
    _lock: Option<File>,
}

impl Index {
    /// To be read: a list that is being replaced is the one before or the one after.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("images.json");
        let images = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|why| {
                let message = format!("{} cannot be read: {why}", path.display());
                Error::new(ErrorKind::Failed, message)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io(path.display(), error)),
        };
        Ok(Self {
            path,
            images,
            _lock: None,
        })
    }

    /// To be changed, once whoever else changes it is done.
    pub(crate) fn lock(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(".lock");
        let lock = File::create(&path).map_err(|error| Error::io(path.display(), error))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| Error::io(path.display(), error.into()))?;
        Ok(Self {
            _lock: Some(lock),
            ..Self::read(folder)?
        })
    }

    /// Gives an image its name; returns the one that had it.
    pub(crate) fn put(&mut self, image: HostImage) -> Result<Option<HostImage>, Error> {
        let before = self.position(&image.name).map(|at| self.images.remove(at));
        let at = self.images.partition_point(|other| other.name < image.name);
        self.images.insert(at, image);
        self.write()?;
        Ok(before)
    }

    /// Takes a name away.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<HostImage>, Error> {
        let taken = self.position(name).map(|at| self.images.remove(at));
        self.write()?;
        Ok(taken)
    }

    /// What a name stands for.
    pub(super) fn digest(&self, name: &str) -> Option<&str> {
        self.position(name)
            .map(|at| self.images[at].digest.as_str())
    }

    /// How many names an image has.
    pub(super) fn names(&self, digest: &str) -> usize {
        let named = self.images.iter().filter(|image| image.digest == digest);
        named.count()
    }

    pub(crate) fn digests(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(|image| image.digest.as_str())
    }

    pub(crate) fn into_images(self) -> Vec<HostImage> {
        self.images
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.images.iter().position(|image| image.name == name)
    }

    fn write(&self) -> Result<(), Error> {
        let failed = |error| Error::io(self.path.display(), error);
        let text = serde_json::to_vec_pretty(&self.images).map_err(|why| failed(why.into()))?;
        let new = self.path.with_extension("new");
        let mut file = File::create(&new).map_err(failed)?;
        file.write_all(&text)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&new, &self.path))
            .map_err(failed)
    }
}
