//! A tar of a directory or file: regular files, directories and links, with their names,
//! permissions and times. Other kinds of files are left out; links are not followed.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, open, openat, readlinkat, statat,
};
use tar::{Builder, EntryType, Header};

use super::{content::open_regular, failed, stream::Outgoing};
use crate::guest::failure::Answer;

/// How deep directories may lie in each other: each one in work holds a descriptor.
const DEEPEST: usize = 256;
const LINK_IN_HEADER: usize = 100;

/// What is to be packed.
pub(super) enum Source {
    /// A directory: entries are named from it on.
    Directory(OwnedFd),
    /// A file, under its own name.
    File(File, PathBuf),
}

pub(super) fn open_source(path: &Path) -> Answer<Source> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match open(path, flags, Mode::empty()) {
        Ok(directory) => Ok(Source::Directory(directory)),
        Err(rustix::io::Errno::NOTDIR) => {
            let name = path.file_name().unwrap_or(OsStr::new("file"));
            Ok(Source::File(open_regular(path)?, name.into()))
        }
        Err(error) => Err(failed("read", path, &error.into())),
    }
}

/// Sends the tar. Where something cannot be read, the body is cut: a tar without its end.
pub(super) fn send(source: Source, mut to: Outgoing) {
    let packed = pack(source, &mut to).and_then(|()| to.flush());
    if let Err(error) = packed {
        tracing::debug!(%error, "an archive was cut");
        to.fail(error);
    }
}

fn pack(source: Source, to: &mut Outgoing) -> io::Result<()> {
    let mut tar = Builder::new(to);
    match source {
        Source::Directory(directory) => {
            pack_directory(&mut tar, &directory, Path::new(""), 0)?;
        }
        Source::File(file, name) => {
            let stat = fstat(&file)?;
            pack_file(&mut tar, file, &stat, &name)?;
        }
    }
    tar.finish()
}

fn pack_directory(
    tar: &mut Builder<impl Write>,
    directory: &OwnedFd,
    below: &Path,
    depth: usize,
) -> io::Result<()> {
    if depth >= DEEPEST {
        let what = format!(
            "{} is more than {DEEPEST} directories deep",
            below.display()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    for found in Dir::read_from(directory)? {
        let found = found?;
        let name = OsStr::from_bytes(found.file_name().to_bytes());
        if name != "." && name != ".." {
            pack_entry(tar, directory, name, &below.join(name), depth)
                .map_err(|error| at(&below.join(name), &error))?;
        }
    }
    Ok(())
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn pack_entry(
    tar: &mut Builder<impl Write>,
    directory: &OwnedFd,
    name: &OsStr,
    path: &Path,
    depth: usize,
) -> io::Result<()> {
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        // It has gone since.
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let inner = openat(directory, name, flags | OFlags::DIRECTORY, Mode::empty())?;
            let mut header = header(&stat, EntryType::Directory, 0);
            tar.append_data(&mut header, path, io::empty())?;
            pack_directory(tar, &inner, path, depth + 1)
        }
        FileType::RegularFile => {
            let file = File::from(openat(directory, name, flags, Mode::empty())?);
            // It may be another one by now.
            let stat = fstat(&file)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Ok(());
            }
            pack_file(tar, file, &stat, path)
        }
        FileType::Symlink => pack_link(tar, directory, name, path, &stat),
        _ => Ok(()),
    }
}

fn pack_file(
    tar: &mut Builder<impl Write>,
    file: File,
    stat: &Stat,
    path: &Path,
) -> io::Result<()> {
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    let mut header = header(stat, EntryType::Regular, size);
    tar.append_data(&mut header, path, Exactly { file, left: size })
}

fn pack_link(
    tar: &mut Builder<impl Write>,
    directory: &OwnedFd,
    name: &OsStr,
    path: &Path,
    stat: &Stat,
) -> io::Result<()> {
    let target = readlinkat(directory, name, Vec::new())?;
    let target = target.as_bytes();
    let mut header = header(stat, EntryType::Symlink, 0);
    if target.len() > LINK_IN_HEADER {
        return tar.append_link(&mut header, path, OsStr::from_bytes(target));
    }
    header.set_link_name_literal(target)?;
    tar.append_data(&mut header, path, io::empty())
}

fn header(stat: &Stat, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or_default());
    header.set_size(size);
    header
}

/// As many bytes of a file as were promised, however it changes meanwhile.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(into.len());
        let read = self.file.read(&mut into[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it became shorter",
            ));
        }
        self.left -= read as u64;
        Ok(read)
    }
}
