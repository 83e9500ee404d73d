//! The bytes of regular files.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use helix_proto::{error::ErrorCode, sandbox::guest::FileEntry};
use rustix::fs::{Access, AtFlags, CWD, Gid, Mode, OFlags, Uid, accessat, fchown, open};

use super::{
    failed, stat,
    stream::{CHUNK, Incoming, Outgoing, cut},
};
use crate::guest::failure::{Answer, Failed};

/// The most that is read of a file whose size the kernel does not know, as in `/proc`.
const UNSIZED: u64 = 16 << 20;

/// A file that is to be read, and how much of it is there, where that is known.
pub(super) struct Opened {
    file: File,
    left: u64,
    pub(super) length: Option<u64>,
}

/// Opens a regular file, and nothing else: what `path` names is looked at before it is
/// opened, so that no pipe or device feels it.
pub(super) fn open_regular(path: &Path) -> Answer<File> {
    let cannot = |error: io::Error| failed("read", path, &error);
    let found = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| cannot(error.into()))?;
    let found = File::from(found);
    regular(path, &found.metadata().map_err(cannot)?)?;
    let again = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(again, flags, Mode::empty()).map_err(|error| cannot(error.into()))?;
    Ok(file.into())
}

fn regular(path: &Path, metadata: &fs::Metadata) -> Answer<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = if metadata.is_dir() {
        "a directory"
    } else {
        "a pipe, socket or device"
    };
    Err(Failed::invalid(
        "path",
        format!("{} is {what}, not a regular file", path.display()),
    ))
}

/// Opens a file to read `length` bytes of it from `offset` on, or all that it has now.
pub(super) fn open_at(path: &Path, offset: u64, length: Option<u64>) -> Answer<Opened> {
    let cannot = |error: io::Error| failed("read", path, &error);
    let mut file = open_regular(path)?;
    let size = file.metadata().map_err(cannot)?.len();
    if offset > 0 {
        file.seek(SeekFrom::Start(offset)).map_err(cannot)?;
    }
    // Files of the kernel's own say that they are empty.
    let unsized_ = size == 0;
    let there = if unsized_ {
        UNSIZED
    } else {
        size.saturating_sub(offset)
    };
    let left = length.unwrap_or(u64::MAX).min(there);
    Ok(Opened {
        file,
        left,
        length: (!unsized_).then_some(left),
    })
}

/// Sends what was opened.
pub(super) fn send(mut opened: Opened, to: &Outgoing) {
    while opened.left > 0 {
        let most = usize::try_from(opened.left).unwrap_or(CHUNK).min(CHUNK);
        let mut bytes = vec![0; most];
        let read = match opened.file.read(&mut bytes) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if opened.length.is_none() && error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return to.fail(error),
        };
        if read == 0 {
            if opened.length.is_some() {
                to.fail(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file became shorter",
                ));
            }
            return;
        }
        bytes.truncate(read);
        opened.left -= read as u64;
        if to.send(bytes.into()).is_err() {
            return;
        }
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writing {
    pub(super) append: bool,
    pub(super) parents: bool,
    pub(super) mode: Option<u32>,
}

/// Writes a body to a file. The old content stays until all of the new one is there, and
/// stays for good when that fails; except where the file is appended to, has other names
/// or another owner, or its directory cannot be written: then it is written in place.
pub(super) fn write(path: &Path, how: Writing, body: Incoming) -> Answer<FileEntry> {
    if how.parents
        && let Some(parent) = path.parent()
    {
        fs::create_dir_all(parent).map_err(|error| failed("make the directory", parent, &error))?;
    }
    if how.append {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        let file = open_to_write(path, flags, how.mode)?;
        fill(path, file, body)?;
        return stat(path);
    }
    match existing(path)? {
        None => replace(path, None, how.mode, body)?,
        Some((target, old)) => {
            accessat(CWD, &target, Access::WRITE_OK, AtFlags::EACCESS)
                .map_err(|error| failed("write", path, &error.into()))?;
            if old.nlink() > 1 || !may_keep_owner(&old) || !may_write_beside(&target) {
                let file = open_to_write(&target, OFlags::WRONLY | OFlags::TRUNC, how.mode)?;
                fill(path, file, body)?;
            } else {
                replace(&target, Some(&old), how.mode, body)?;
            }
        }
    }
    stat(path)
}

/// The regular file that `path` stands for now, behind links, if there is one.
fn existing(path: &Path) -> Answer<Option<(PathBuf, fs::Metadata)>> {
    let cannot = |error: io::Error| failed("write", path, &error);
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if fs::symlink_metadata(path).is_ok() {
                Err(Failed::new(
                    ErrorCode::Conflict,
                    format!("{} is a link to nothing: remove it first", path.display()),
                ))
            } else {
                Ok(None)
            };
        }
        Err(error) => return Err(cannot(error)),
    };
    let metadata = fs::metadata(&target).map_err(cannot)?;
    regular(path, &metadata)?;
    Ok(Some((target, metadata)))
}

fn may_keep_owner(old: &fs::Metadata) -> bool {
    use rustix::process::{getegid, geteuid};
    let (uid, gid) = (geteuid(), getegid());
    uid.is_root() || (uid.as_raw() == old.uid() && gid.as_raw() == old.gid())
}

fn may_write_beside(target: &Path) -> bool {
    let parent = target.parent().unwrap_or(target);
    accessat(
        CWD,
        parent,
        Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    )
    .is_ok()
}

fn open_to_write(path: &Path, flags: OFlags, mode: Option<u32>) -> Answer<File> {
    let cannot = |error: io::Error| failed("write", path, &error);
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file =
        open(path, flags, Mode::from_raw_mode(0o644)).map_err(|error| cannot(error.into()))?;
    let file = File::from(file);
    regular(path, &file.metadata().map_err(cannot)?)?;
    if let Some(mode) = mode {
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(cannot)?;
    }
    Ok(file)
}

/// Writes a new file beside `target` and gives it its name.
fn replace(
    target: &Path,
    old: Option<&fs::Metadata>,
    mode: Option<u32>,
    body: Incoming,
) -> Answer<()> {
    let cannot = |error: io::Error| failed("write", target, &error);
    let parent = target.parent().unwrap_or(Path::new("/"));
    let new = parent.join(format!(".helix-{:016x}.part", rand::random::<u64>()));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = open(&new, flags, Mode::RUSR | Mode::WUSR).map_err(|error| cannot(error.into()))?;
    let file = File::from(file);
    let done = settle(&file, old, mode)
        .map_err(cannot)
        .and_then(|()| fill(target, file, body));
    let done = done.and_then(|()| fs::rename(&new, target).map_err(cannot));
    if done.is_err() {
        // It is of no use to anybody; that it cannot be removed matters less than why.
        let _ = fs::remove_file(&new);
    }
    done
}

/// Gives a new file the owner and the permissions of the old one.
fn settle(file: &File, old: Option<&fs::Metadata>, mode: Option<u32>) -> io::Result<()> {
    if let Some(old) = old {
        fchown(
            file,
            Some(Uid::from_raw(old.uid())),
            Some(Gid::from_raw(old.gid())),
        )?;
    }
    let mode = mode.unwrap_or_else(|| old.map_or(0o644, |old| old.mode() & 0o7777));
    file.set_permissions(Permissions::from_mode(mode))
}

/// Copies a body into a file, and tells a body that was cut from a disk that is full.
fn fill(path: &Path, mut file: File, mut body: Incoming) -> Answer<()> {
    let mut bytes = vec![0; CHUNK];
    loop {
        match body.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => file
                .write_all(&bytes[..read])
                .map_err(|error| failed("write", path, &error))?,
            Err(error) => return Err(cut(&error)),
        }
    }
    Ok(())
}
