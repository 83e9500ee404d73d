//! A sandbox's disk: a file with an ext4 file system, which holds as much as it may write.

mod folder;

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    fs::{CWD, Mode, OFlags, SeekFrom, copy_file_range, ioctl_ficlone, openat, seek},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, open_tree,
    },
};

use super::{
    loops::{self, Loops},
    uses_own_ids,
};
use crate::{Error, ErrorKind as Kind};

/// An empty disk of `bytes`, at `path`. The first of a size is kept as a template.
pub(super) fn make(templates: &Path, path: &Path, bytes: u64) -> Result<(), Error> {
    if uses_own_ids() {
        return folder::make(path).map_err(|error| Error::io("making the disk", error));
    }
    let bytes = bytes / 4096 * 4096;
    let template = templates.join(format!("{bytes}.img"));
    if !template.exists() {
        make_template(templates, &template, bytes)?;
    }
    copy(&template, path).map_err(|error| Error::io("making the disk", error))
}

/// Mounts a disk, attached nowhere: for as long as what is returned is open, or once
/// something is attached.
pub(super) fn mount(loops: &Loops, path: &Path) -> Result<OwnedFd, Error> {
    let mounted = || -> io::Result<OwnedFd> {
        if path.is_dir() {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            return open_tree(CWD, path, flags).map_err(Into::into);
        }
        let file = File::options().read(true).write(true).open(path)?;
        let (device, _held) = loops.attach(&file)?;
        let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", device.as_path())?;
        fsconfig_set_string(&context, "errors", "remount-ro")?;
        fsconfig_set_flag(&context, "discard")?;
        fsconfig_set_flag(&context, "noinit_itable")?;
        fsconfig_create(&context)?;
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(Into::into)
    };
    mounted().map_err(|error| Error::io("mounting the disk", error))
}

fn make_template(templates: &Path, template: &Path, bytes: u64) -> Result<(), Error> {
    let failed = |error| Error::io("making an empty disk", error);
    let temporary = tempfile::NamedTempFile::new_in(templates).map_err(failed)?;
    temporary.as_file().set_len(bytes).map_err(failed)?;
    // No room for root alone, a small journal, nothing that is written later in the
    // background, and little that is kept for growing: every block of it that is not
    // empty is copied for every sandbox.
    let journal = (bytes >> 20) / 64;
    let largest = bytes / 4096 * 8;
    let output = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-m", "0", "-b", "4096", "-E"])
        .arg(format!(
            "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,resize={largest}"
        ))
        .arg("-J")
        .arg(format!("size={}", journal.clamp(4, 64)))
        .arg(temporary.path())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io("running mkfs.ext4 (install e2fsprogs)", error))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(
            Kind::Failed,
            format!("mkfs.ext4 failed: {}", message.trim()),
        ));
    }
    temporary
        .persist(template)
        .map_err(|error| failed(error.error))?;
    Ok(())
}

/// Copies a disk: shares its blocks where the file system can, else copies what is not
/// empty.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        return folder::copy(from, to);
    }
    let source = File::open(from)?;
    let target = File::create_new(to)?;
    match ioctl_ficlone(&target, &source) {
        Ok(()) => return Ok(()),
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::XDEV | Errno::NOTTY | Errno::NOSYS) => {}
        Err(error) => return Err(error.into()),
    }
    let copied = copy_sparse(&source, &target);
    if copied.is_err() {
        let _ = std::fs::remove_file(to);
    }
    copied
}

fn copy_sparse(source: &File, target: &File) -> io::Result<()> {
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut at = 0;
    loop {
        let start = match seek(source, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return Ok(()),
            other => other?,
        };
        let end = seek(source, SeekFrom::Hole(start))?;
        let (mut from, mut to) = (start, start);
        while from < end {
            let most = usize::try_from(end - from).unwrap_or(1 << 30).min(1 << 30);
            if copy_file_range(source, Some(&mut from), target, Some(&mut to), most)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        at = end;
    }
}

/// How many bytes a disk takes.
pub(super) fn used(path: &Path) -> io::Result<u64> {
    if path.is_dir() {
        return folder::used(path);
    }
    Ok(std::fs::metadata(path)?.blocks() * 512)
}

/// Makes a disk that was copied larger.
pub(super) fn grow(path: &Path, bytes: u64) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    let bytes = bytes / 4096 * 4096;
    let failed = |error| Error::io("looking at the disk", error);
    let file = File::options().write(true).open(path).map_err(failed)?;
    let now = file.metadata().map_err(failed)?.len();
    if now == bytes {
        return Ok(());
    }
    if now > bytes {
        return Err(Error::new(
            Kind::Invalid,
            format!(
                "the files come from a disk of {now} bytes: give a disk_bytes of at least that"
            ),
        ));
    }
    file.set_len(bytes).map_err(failed)?;
    drop(file);
    let output = Command::new("resize2fs")
        .arg("-f")
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io("running resize2fs (install e2fsprogs)", error))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(
        Kind::Failed,
        format!("resize2fs failed: {}", message.trim()),
    ))
}

/// Removes a disk, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Holds the writes to a disk back, so that it can be copied as it is.
#[derive(Debug)]
pub(super) struct Frozen {
    root: OwnedFd,
}

const FIFREEZE: u64 = 0xC004_5877;
const FITHAW: u64 = 0xC004_5878;

impl Frozen {
    /// Freezes the disk, if it is mounted anywhere.
    pub(super) fn freeze(disk: &Path) -> io::Result<Option<Self>> {
        let Some(root) = open_root(disk)? else {
            return Ok(None);
        };
        request(&root, FIFREEZE)?;
        Ok(Some(Self { root }))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Err(error) = request(&self.root, FITHAW) {
            tracing::error!(%error, "a sandbox's disk stays frozen: stop the sandbox");
        }
    }
}

/// Lets writes go on that a process that died held back.
pub(super) fn thaw(disk: &Path) -> io::Result<()> {
    let Some(root) = open_root(disk)? else {
        return Ok(());
    };
    match request(&root, FITHAW) {
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

/// The root of the disk's file system as the kernel has it mounted already: another mount
/// of the same device is the same file system.
fn open_root(disk: &Path) -> io::Result<Option<OwnedFd>> {
    let devices: Vec<PathBuf> = loops::devices_of(disk);
    let Some(device) = devices.first() else {
        return Ok(None);
    };
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device.as_path())?;
    fsconfig_create(&context)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(mount.as_fd(), ".", flags, Mode::empty())
        .map(Some)
        .map_err(Into::into)
}

fn request(root: &OwnedFd, request: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    // SAFETY: both requests take an integer that they ignore.
    if unsafe { libc::ioctl(root.as_raw_fd(), request as libc::Ioctl, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
