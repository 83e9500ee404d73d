//! Unpacks a tar below a directory. What it holds is hostile: an entry that would land
//! anywhere else is refused, and so is everything but files, directories and symbolic
//! links. What came before it stays.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Component, Path, PathBuf},
};

use helix_proto::error::ErrorCode;
use rustix::{
    fs::{
        AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, futimens,
        mkdirat, open, openat, openat2, symlinkat, unlinkat,
    },
    io::Errno,
};
use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::{
    failed,
    stream::{Incoming, cut},
};
use crate::guest::failure::{Answer, Failed};

/// How many entries a tar may have, and how long a name or an extended header may be.
const ENTRIES: usize = 1_000_000;
const NAME: u64 = 4096;
const EXTENDED: u64 = 64 * 1024;
/// How often the kernel may say that a path changed while it was looked up.
const TRIES: usize = 100;

/// What the headers before an entry say of it.
#[derive(Default)]
struct Said {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

pub(super) fn unpack(path: &Path, body: Incoming) -> Answer<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(path, flags, Mode::empty())
        .map_err(|error| failed("unpack into", path, &error.into()))?;
    let mut archive = Archive::new(body);
    let entries = archive.entries().map_err(|error| broken(&error))?.raw(true);
    let mut said = Said::default();
    for (count, entry) in entries.enumerate() {
        if count >= ENTRIES {
            return Err(refused(format!(
                "the archive has more than {ENTRIES} entries"
            )));
        }
        let mut entry = entry.map_err(|error| broken(&error))?;
        if !said.hear(&mut entry)? {
            one(&root, std::mem::take(&mut said), entry)?;
        }
    }
    Ok(())
}

fn refused(message: String) -> Failed {
    Failed::new(ErrorCode::Invalid, message)
}

fn broken(error: &io::Error) -> Failed {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::TimedOut => cut(error),
        _ => Failed::new(
            ErrorCode::BadRequest,
            format!("the body is not a tar: {error}"),
        ),
    }
}

impl Said {
    /// Takes in an entry that only says something of the next one.
    fn hear(&mut self, entry: &mut Entry<'_, Incoming>) -> Answer<bool> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.path = Some(name(entry)?),
            EntryType::GNULongLink => self.link = Some(name(entry)?),
            EntryType::XHeader => self.extended(&bounded(entry, EXTENDED)?)?,
            EntryType::XGlobalHeader => drop(bounded(entry, EXTENDED)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn extended(&mut self, bytes: &[u8]) -> Answer<()> {
        for extension in PaxExtensions::new(bytes) {
            let extension = extension.map_err(|error| broken(&error))?;
            let value = extension.value_bytes().to_vec();
            match extension.key_bytes() {
                b"path" => self.path = Some(value),
                b"linkpath" => self.link = Some(value),
                b"size" => {
                    return Err(refused(
                        "the archive has a file with an extended size: 8 GiB or more of one file \
                         need the GNU format"
                            .to_owned(),
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn name(entry: &mut Entry<'_, Incoming>) -> Answer<Vec<u8>> {
    let mut name = bounded(entry, NAME + 1)?;
    while name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn bounded(entry: &mut Entry<'_, Incoming>, most: u64) -> Answer<Vec<u8>> {
    if entry.size() > most {
        return Err(refused(format!(
            "the archive has a header of more than {most} bytes"
        )));
    }
    let mut bytes = Vec::new();
    entry
        .read_to_end(&mut bytes)
        .map_err(|error| broken(&error))?;
    Ok(bytes)
}

/// The parts of an entry's name, if all of it lies below.
fn inside(bytes: &[u8]) -> Answer<PathBuf> {
    let shown = String::from_utf8_lossy(bytes);
    if bytes.len() as u64 > NAME || bytes.contains(&0) {
        return Err(refused(format!(
            "an entry's name has more than {NAME} bytes, or a zero byte"
        )));
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(bytes)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(refused(format!(
                    "the entry {shown:?} is refused: it would land outside of the directory"
                )));
            }
        }
    }
    Ok(path)
}

fn one(root: &OwnedFd, said: Said, mut entry: Entry<'_, Incoming>) -> Answer<()> {
    let path = inside(&said.path.unwrap_or_else(|| entry.path_bytes().into_owned()))?;
    let link = said
        .link
        .or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned));
    let Some(name) = path.file_name() else {
        // The directory itself.
        return Ok(());
    };
    let parent = directory(root, path.parent().unwrap_or(Path::new("")))?;
    let cannot = |error: Errno| failed("unpack", &path, &error.into());
    let mode = Mode::from_raw_mode(entry.header().mode().unwrap_or(0o644) & 0o777);
    match entry.header().entry_type() {
        EntryType::Directory => {
            let made = directory_at(&parent, name).map_err(|error| left(&path, error))?;
            fchmod(&made, mode | Mode::RWXU).map_err(cannot)
        }
        EntryType::Regular | EntryType::Continuous => {
            clear(&parent, name).map_err(cannot)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let file = openat(
                &parent,
                name,
                flags | OFlags::CLOEXEC,
                Mode::RUSR | Mode::WUSR,
            )
            .map_err(cannot)?;
            let mut file = File::from(file);
            copy(&path, &mut entry, &mut file)?;
            fchmod(&file, mode).map_err(cannot)?;
            futimens(&file, &times(entry.header().mtime().unwrap_or(0))).map_err(cannot)
        }
        EntryType::Symlink => {
            let target = link.unwrap_or_default();
            clear(&parent, name).map_err(cannot)?;
            symlinkat(OsStr::from_bytes(&target), &parent, name).map_err(cannot)
        }
        kind => Err(refused(format!(
            "the entry {} is refused: only files, directories and symbolic links are unpacked, \
             not {kind:?}",
            path.display()
        ))),
    }
}

fn copy(path: &Path, entry: &mut Entry<'_, Incoming>, file: &mut File) -> Answer<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        match entry.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => io::Write::write_all(file, &bytes[..read])
                .map_err(|error| failed("unpack", path, &error))?,
            Err(error) => return Err(broken(&error)),
        }
    }
}

fn times(mtime: u64) -> Timestamps {
    let seconds = i64::try_from(mtime).unwrap_or(i64::MAX);
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        },
    }
}

/// Removes what an entry replaces; not a directory.
fn clear(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The directory `path` below `root`, made where it is missing. Links on the way are
/// followed as long as they stay below.
fn directory(root: &OwnedFd, path: &Path) -> Answer<OwnedFd> {
    if path.as_os_str().is_empty() {
        return root
            .try_clone()
            .map_err(|error| failed("unpack", path, &error));
    }
    match below(root, path) {
        Ok(found) => Ok(found),
        Err(Errno::NOENT) => {
            let parent = directory(root, path.parent().unwrap_or(Path::new("")))?;
            let name = path.file_name().unwrap_or(path.as_os_str());
            directory_at(&parent, name).map_err(|error| left(path, error))
        }
        Err(error) => Err(left(path, error)),
    }
}

/// Makes a directory, or opens the one that is there; not through a link.
fn directory_at(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn below(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..TRIES {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            found => return found,
        }
    }
    Err(Errno::AGAIN)
}

/// A directory that cannot be had, in the words of whoever sent the archive.
fn left(path: &Path, error: Errno) -> Failed {
    match error {
        Errno::XDEV | Errno::LOOP => refused(format!(
            "the entry {} is refused: a link on its way leaves the directory",
            path.display()
        )),
        Errno::NOTDIR => refused(format!(
            "the entry {} is refused: something on its way is a file or a link",
            path.display()
        )),
        error => failed("unpack", path, &error.into()),
    }
}
