//! Root file systems that an administrator imported.
//!
//! An image is a folder that sandboxes share, read-only. It is known by the digest of what it was
//! imported from, and by names that point to digests; the same content is kept once.
//!
//! | imported from | digest |
//! |---|---|
//! | an [OCI image layout](https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md), as a folder or a tar | of the image's manifest |
//! | what `docker save` writes | of the tar |
//! | a tar of a root file system (`docker export`, `debootstrap`) | of the tar |
//!
//! Layers and tars may be compressed with gzip. Files keep the owners, modes, times and file
//! capabilities that they are listed with; devices are left out, since a sandbox makes its
//! own. An image is as hostile as what runs from it: an entry that would land outside is
//! refused, links are resolved inside the image, and nothing of it is run.

mod index;
mod layer;
mod layout;
mod tree;
mod users;

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use helix_base::Clock;
use helix_proto::sandbox::host::HostImage;
use sha2::{Digest as _, Sha256};

use crate::{Error, ErrorKind};
pub(crate) use index::Index;
use tree::Tree;
use users::Users;

/// Keeps images below one folder.
///
/// # Contract
///
/// - An import is there whole, or not at all, whenever the process or machine stops.
/// - Two processes may use one folder: changes are made one after the other.
/// - The last name of an image that is in use ([`with_users`](Self::with_users)) is not removed. One
///   whose name another image took is kept for as long as it is in use, and goes with the next
///   change after that.
#[derive(Debug, Clone)]
pub struct Images {
    folder: PathBuf,
    most_bytes: u64,
    users: Users,
}

impl Images {
    /// The images below `folder`, which is made if it is not there. An image may unpack to
    /// 64 GiB.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        made.map_err(|error| Error::io(folder.display(), error))?;
        Ok(Self {
            folder,
            most_bytes: 64 << 30,
            users: Users::default(),
        })
    }

    /// Asks `users` who was made from the content of a digest, such as sandboxes and snapshots,
    /// before it is removed.
    #[must_use]
    pub fn with_users(
        mut self,
        users: impl Fn(&str) -> Result<Vec<String>, Error> + Send + Sync + 'static,
    ) -> Self {
        self.users = Users::new(users);
        self
    }

    /// Lets an image unpack to so many bytes at most.
    #[must_use]
    pub const fn with_most_bytes(mut self, most_bytes: u64) -> Self {
        self.most_bytes = most_bytes;
        self
    }

    /// Imports an image and gives it a name; a name that another image had is taken from it.
    /// Blocks for as long as unpacking takes. `step` hears what is being done.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for what is no image, or one with an entry that leaves it or
    /// that is too large; [`ErrorKind::Full`] where the disk is full.
    pub fn import(
        &self,
        from: &Path,
        name: &str,
        clock: &dyn Clock,
        step: &mut dyn FnMut(&str),
    ) -> Result<HostImage, Error> {
        check_name(name)?;
        let place = |error| Error::io(self.folder.display(), error);
        let work = tempfile::Builder::new()
            .prefix(".import-")
            .tempdir_in(&self.folder)
            .map_err(place)?;
        let source = layout::read(from, work.path(), step)?;
        let kept = self.folder.join(folder_of(&source.digest));
        let root = work.path().join("rootfs");
        let size_bytes = if kept.exists() {
            step("this content is here already");
            size(&kept.join("rootfs")).map_err(place)?
        } else {
            self.unpack(&source, &root, step)?
        };
        let image = HostImage {
            name: name.to_owned(),
            digest: source.digest.clone(),
            size_bytes,
            created_at_ms: clock.now_ms(),
        };
        let mut index = Index::lock(&self.folder)?;
        if !kept.exists() {
            let whole = work.path().join("whole");
            fs::create_dir(&whole)
                .and_then(|()| fs::rename(&root, whole.join("rootfs")))
                .and_then(|()| fs::rename(&whole, &kept))
                .map_err(place)?;
        }
        index.put(image.clone())?;
        self.forget_nameless(&index)?;
        Ok(image)
    }

    fn unpack(
        &self,
        source: &layout::Source,
        root: &Path,
        step: &mut dyn FnMut(&str),
    ) -> Result<u64, Error> {
        fs::create_dir(root)
            .and_then(|()| fs::set_permissions(root, fs::Permissions::from_mode(0o755)))
            .map_err(|error| Error::io(root.display(), error))?;
        let mut tree = Tree::open(root, self.most_bytes)?;
        for (number, layer) in source.layers.iter().enumerate() {
            step(&format!(
                "unpacking layer {} of {}",
                number + 1,
                source.layers.len()
            ));
            layer::apply(&layer.path, &mut tree)?;
        }
        tree.sync()?;
        Ok(tree.bytes())
    }

    /// The images, sorted by name.
    ///
    /// # Errors
    ///
    /// Where the list cannot be read.
    pub fn list(&self) -> Result<Vec<HostImage>, Error> {
        Ok(Index::read(&self.folder)?.into_images())
    }

    /// The root file system of an image, by its name or digest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], naming what there is.
    pub fn find(&self, name: &str) -> Result<(HostImage, PathBuf), Error> {
        let images = self.list()?;
        let found = images
            .iter()
            .find(|image| image.name == name || image.digest == name);
        let Some(image) = found else {
            let names: Vec<_> = images.iter().map(|image| image.name.as_str()).collect();
            let there = match names.as_slice() {
                [] => "there are none: import one with `helix-sandbox image import`".to_owned(),
                names => format!("there is {}", names.join(", ")),
            };
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("no image is called {name:?}; {there}"),
            ));
        };
        let root = self.folder.join(folder_of(&image.digest)).join("rootfs");
        Ok((image.clone(), root))
    }

    /// Removes a name, and the image's files with its last name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where there is no such name; [`ErrorKind::Conflict`] where it is the
    /// last one of an image that is in use, naming by whom.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let mut index = Index::lock(&self.folder)?;
        let Some(digest) = index.digest(name).map(str::to_owned) else {
            let message = format!("no image is called {name:?}");
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        if index.names(&digest) == 1 {
            let users = self.users.of(&digest)?;
            if !users.is_empty() {
                let message = format!(
                    "the image {name} is in use by {}: delete them first",
                    users.join(", ")
                );
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        }
        index.take(name)?;
        self.forget_nameless(&index)
    }

    /// Removes the files of those that have no name and that nobody uses.
    fn forget_nameless(&self, index: &Index) -> Result<(), Error> {
        let failed = |error| Error::io(self.folder.display(), error);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let digest = name.to_str().and_then(|name| name.strip_prefix("sha256-"));
            let Some(digest) = digest.map(|hash| format!("sha256:{hash}")) else {
                continue;
            };
            if index.names(&digest) == 0 && self.users.of(&digest)?.is_empty() {
                self.forget(&digest)?;
            }
        }
        Ok(())
    }

    /// Removes the files of a digest.
    fn forget(&self, digest: &str) -> Result<(), Error> {
        let kept = self.folder.join(folder_of(digest));
        // Out of sight at once, so that a stop in the middle leaves no half image.
        let gone = self.folder.join(format!(".gone-{}", folder_of(digest)));
        match fs::rename(&kept, &gone).and_then(|()| fs::remove_dir_all(&gone)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(kept.display(), error))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@".contains(&byte);
    if (1..=200).contains(&name.len()) && name.bytes().all(fine) && !name.starts_with("sha256:") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!(
            "{name:?} is no name for an image: give 1 to 200 letters, digits and `._-:/@`, such as \
             debian:12"
        ),
    ))
}

fn folder_of(digest: &str) -> String {
    digest.replace(':', "-")
}

/// The SHA-256 of a file, as `sha256:…`.
fn digest_of(path: &Path) -> Result<String, Error> {
    let failed = |error| Error::io(path.display(), error);
    let mut file = fs::File::open(path).map_err(failed)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 17]);
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(shown(&hash.finalize()));
        }
        hash.update(&buffer[..count]);
    }
}

fn shown(hash: &[u8]) -> String {
    let hex: Vec<String> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() {
            size(&entry.path())?
        } else {
            about.len()
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
