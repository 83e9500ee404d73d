//! A root file system that is being unpacked. Every path is resolved inside it, links too
//! (`RESOLVE_IN_ROOT`), as programs that run from it would.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
    },
    io::Errno,
};

use crate::{Error, namespaces::own_ids};

/// Entries, at most: an image of a whole distribution has some hundred thousand.
const MOST_ENTRIES: u64 = 5_000_000;

/// What an entry says about itself.
#[derive(Debug)]
pub(super) struct About {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) mtime: u64,
    /// The extended attribute `security.capability`.
    pub(super) capability: Option<Vec<u8>>,
}

/// The tree, by its root.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    path: PathBuf,
    bytes: u64,
    entries: u64,
    most_bytes: u64,
    /// Who root of a sandbox is in files.
    first_id: u32,
}

fn refuse(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

impl Tree {
    pub(super) fn open(path: &Path, most_bytes: u64) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| Error::io(path.display(), error.into()))?;
        Ok(Self {
            root,
            path: path.to_owned(),
            bytes: 0,
            entries: 0,
            most_bytes,
            first_id: own_ids::in_files(0),
        })
    }

    /// Bytes in files so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// To the disk.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let synced = File::open(&self.path).and_then(|root| Ok(rustix::fs::syncfs(&root)?));
        synced.map_err(|error| Error::io(self.path.display(), error))
    }

    /// A file; what stood there is replaced.
    pub(super) fn file(
        &mut self,
        at: &Path,
        about: &About,
        content: &mut impl Read,
    ) -> io::Result<()> {
        let (parent, name) = self.place(at)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(
            &parent,
            name,
            flags,
            Mode::RUSR | Mode::WUSR,
        )?);
        let room = self.most_bytes - self.bytes;
        let copied = io::copy(&mut content.take(room + 1), &mut file)?;
        if copied > room {
            return Err(refuse("the image is larger than it may be"));
        }
        self.bytes += copied;
        self.dress(&parent, name, about)
    }

    /// A directory; one that stands there stays, with what is in it.
    pub(super) fn directory(&mut self, at: &Path, about: &About) -> io::Result<()> {
        if at.as_os_str().is_empty() {
            return self.dress(&self.root, OsStr::new("."), about);
        }
        self.count()?;
        let (parent, name) = self.parent(at)?;
        match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
            Err(Errno::EXIST) if is_directory(&parent, name)? => {}
            Err(Errno::EXIST) => {
                remove(&parent, name)?;
                rustix::fs::mkdirat(&parent, name, Mode::RWXU)?;
            }
            made => made?,
        }
        self.dress(&parent, name, about)
    }

    /// A symbolic link, to anywhere: it is resolved inside.
    pub(super) fn symlink(&mut self, at: &Path, about: &About, target: &[u8]) -> io::Result<()> {
        let (parent, name) = self.place(at)?;
        rustix::fs::symlinkat(OsStr::from_bytes(target), &parent, name)?;
        self.dress(&parent, name, about)
    }

    /// Another name for what is in the tree already.
    pub(super) fn hard_link(&mut self, at: &Path, target: &Path) -> io::Result<()> {
        let (old_parent, old_name) = self.parent(target)?;
        let (parent, name) = self.place(at)?;
        Ok(rustix::fs::linkat(
            &old_parent,
            old_name,
            &parent,
            name,
            AtFlags::empty(),
        )?)
    }

    /// A named pipe.
    pub(super) fn fifo(&mut self, at: &Path, about: &About) -> io::Result<()> {
        let (parent, name) = self.place(at)?;
        rustix::fs::mknodat(&parent, name, FileType::Fifo, Mode::RUSR, 0)?;
        self.dress(&parent, name, about)
    }

    /// Removes what is there, if something is.
    pub(super) fn remove(&mut self, at: &Path) -> io::Result<()> {
        match self.open_parent(at) {
            Ok((parent, name)) => remove(&parent, name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes what a directory has, but for what is to be kept.
    pub(super) fn clear(&mut self, at: &Path, keep: impl Fn(&Path) -> bool) -> io::Result<()> {
        let folder = match self.resolve(at) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in fs::read_dir(by_descriptor(&folder, OsStr::new("")))? {
            let name = entry?.file_name();
            if !keep(&at.join(&name)) {
                remove(&folder, &name)?;
            }
        }
        Ok(())
    }

    /// Where a new entry goes, with nothing in its place.
    fn place<'a>(&mut self, at: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        self.count()?;
        let (parent, name) = self.parent(at)?;
        remove(&parent, name)?;
        Ok((parent, name))
    }

    fn count(&mut self) -> io::Result<()> {
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(refuse("the image has too many entries"));
        }
        Ok(())
    }

    /// The directory of an entry, made where the layer forgot to.
    fn parent<'a>(&self, at: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        match self.open_parent(at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let mut so_far = PathBuf::new();
        for part in at.parent().into_iter().flat_map(Path::components) {
            let inside = self.resolve(&so_far)?;
            match rustix::fs::mkdirat(&inside, part.as_os_str(), Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            so_far.push(part);
        }
        self.open_parent(at)
    }

    fn open_parent<'a>(&self, at: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let name = at
            .file_name()
            .ok_or_else(|| refuse("an entry without a name"))?;
        Ok((self.resolve(at.parent().unwrap_or(Path::new("")))?, name))
    }

    /// Owner, mode, capability and time, in the order that keeps each.
    fn dress(&self, parent: impl AsFd, name: &OsStr, about: &About) -> io::Result<()> {
        let owner = Uid::from_raw(self.first_id + about.uid);
        let group = Gid::from_raw(self.first_id + about.gid);
        let link = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&parent, name, Some(owner), Some(group), link)?;
        let kind = rustix::fs::statat(&parent, name, link)?.st_mode;
        if FileType::from_raw_mode(kind) != FileType::Symlink {
            let mode = Mode::from_raw_mode(about.mode);
            rustix::fs::chmodat(&parent, name, mode, AtFlags::empty())?;
        }
        if let Some(capability) = &about.capability {
            rustix::fs::lsetxattr(
                by_descriptor(&parent, name),
                "security.capability",
                capability,
                XattrFlags::empty(),
            )?;
        }
        let time = Timespec {
            tv_sec: about.mtime.try_into().unwrap_or(i64::MAX),
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        Ok(rustix::fs::utimensat(&parent, name, &times, link)?)
    }

    fn resolve(&self, directory: &Path) -> io::Result<OwnedFd> {
        let path = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat2(
            &self.root,
            path,
            flags,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )?)
    }
}

fn by_descriptor(folder: impl AsFd, name: &OsStr) -> PathBuf {
    let number = folder.as_fd().as_raw_fd();
    Path::new("/proc/self/fd")
        .join(number.to_string())
        .join(name)
}

fn is_directory(parent: impl AsFd, name: &OsStr) -> io::Result<bool> {
    let about = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(about.st_mode) == FileType::Directory)
}

fn remove(parent: impl AsFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // Linux says that it is a directory; `remove_dir_all` follows no link.
        Err(Errno::ISDIR) => fs::remove_dir_all(by_descriptor(parent, name)),
        Err(error) => Err(error.into()),
    }
}
