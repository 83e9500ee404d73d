//! Files and devices of the host.

use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use crate::{Outcome, misused, system::call};

/// Opens a file or directory for reading, reads nothing or one byte, and closes it.
pub(crate) fn read(path: &str) -> Outcome {
    if Path::new(path).is_dir() {
        let first = std::fs::read_dir(path)?.next();
        return match first {
            Some(entry) => entry.map(|entry| format!("{path} has {:?}", entry.file_name())),
            None => Err(io::Error::other("an empty directory")),
        };
    }
    let size = {
        use std::io::Read as _;
        File::open(path)?.read(&mut [0; 1])?
    };
    if size == 0 {
        return Err(io::Error::other("an empty file"));
    }
    Ok(format!("{path} can be read"))
}

/// Opens a file for reading, reads nothing, and closes it.
pub(crate) fn open(path: &str) -> Outcome {
    File::open(path)?;
    Ok(format!("{path} can be opened"))
}

/// Opens an existing file for writing, writes nothing, and closes it.
pub(crate) fn write(path: &str) -> Outcome {
    OpenOptions::new().write(true).open(path)?;
    Ok(format!("{path} can be written"))
}

/// Makes a file, for the test to look for and remove.
pub(crate) fn create(path: &str) -> Outcome {
    OpenOptions::new().write(true).create_new(true).open(path)?;
    Ok(format!("{path} was made"))
}

fn device_number(major: &str, minor: &str) -> io::Result<libc::dev_t> {
    let part = |text: &str| text.parse::<u32>().map_err(|_| misused("give MAJOR MINOR"));
    Ok(libc::makedev(part(major)?, part(minor)?))
}

/// A name for a device node of one's own, in a directory that can be written.
struct Node(CString);

impl Node {
    fn make(major: &str, minor: &str) -> io::Result<Self> {
        let number = device_number(major, minor)?;
        let mut last = io::Error::other("no directory can be written");
        for directory in ["/dev", "/tmp", "/home/user", "/root", "/var/tmp"] {
            let path = format!("{directory}/helix-probe-{}", std::process::id());
            let node = Self(CString::new(path)?);
            // SAFETY: a path that lives on.
            if unsafe { libc::mknod(node.0.as_ptr(), libc::S_IFBLK | 0o600, number) } == 0 {
                return Ok(node);
            }
            last = io::Error::last_os_error();
            std::mem::forget(node);
        }
        Err(last)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A node that stays is seen by the test.
        let _ = std::fs::remove_file(self.path());
    }
}

/// Makes a node for a block device, opens it for reading, and removes it.
pub(crate) fn device(major: &str, minor: &str) -> Outcome {
    let node = Node::make(major, minor)?;
    File::open(node.path())?;
    Ok(format!("block device {major}:{minor} can be read"))
}

/// Mounts a disk of the test's own, read-only, in a mount namespace of its own.
pub(crate) fn mount_disk(major: &str, minor: &str) -> Outcome {
    let node = Node::make(major, minor)?;
    mount(Some(node.path()), "ext4", libc::MS_RDONLY, "noload")?;
    Ok(format!("block device {major}:{minor} was mounted"))
}

/// Mounts something on /mnt where nobody else sees it; it is gone with this process.
fn mount(source: Option<&str>, kind: &str, flags: libc::c_ulong, data: &str) -> io::Result<()> {
    // A sandbox's mount namespace is its own already; there, this may be refused.
    // SAFETY: no pointers; one thread.
    let own = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0;
    let text = |text: &str| CString::new(text).map_err(|_| misused("text without NUL"));
    let (source, kind, data) = (text(source.unwrap_or(kind))?, text(kind)?, text(data)?);
    // SAFETY: texts that live on, ended by NUL.
    unsafe {
        if own {
            libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            );
        }
        let mounted = libc::mount(
            source.as_ptr(),
            c"/mnt".as_ptr(),
            kind.as_ptr(),
            flags,
            data.as_ptr().cast(),
        );
        if mounted != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Opens the root of the file system that holds `path` by its handle, past every mount
/// and root directory.
pub(crate) fn handle(path: &str) -> Outcome {
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        data: [u8; 128],
    }
    let mount = File::open(path)?;
    // Inode 2, generation 0: the root directory of ext4, and of most others.
    let mut handle = Handle {
        bytes: 8,
        kind: 1,
        data: [0; 128],
    };
    handle.data[0] = 2;
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&mount);
    // SAFETY: the handle lives on and is as long as it says.
    let opened = unsafe {
        call(
            libc::SYS_open_by_handle_at,
            [
                descriptor.cast_unsigned() as usize,
                (&raw mut handle).addr(),
                libc::O_RDONLY.cast_unsigned() as usize,
                0,
                0,
            ],
        )
    }?;
    crate::system::close(opened);
    Ok("opened a directory by its handle".to_owned())
}

/// Opens a kernel setting below /proc for writing, also where /proc is mounted anew, and writes
/// nothing.
pub(crate) fn proc_setting(name: &str) -> Outcome {
    let first = write(&format!("/proc/{name}"));
    if first.is_ok() {
        return first;
    }
    mount(None, "proc", 0, "")?;
    write(&format!("/mnt/{name}"))
}

/// Opens a cgroup hierarchy's `release_agent` for writing, and writes nothing. The program
/// named there would run as the host's root.
pub(crate) fn release_agent() -> Outcome {
    let mut last = io::Error::other("no hierarchy of cgroup v1 is known");
    for controller in ["memory", "pids", "freezer", "cpu", "devices", "rdma"] {
        let there = format!("/sys/fs/cgroup/{controller}/release_agent");
        if write(&there).is_ok() {
            return Ok(format!("{there} can be written"));
        }
        match mount(None, "cgroup", 0, controller).and_then(|()| {
            OpenOptions::new()
                .write(true)
                .open("/mnt/release_agent")
                .map(drop)
        }) {
            Ok(()) => return Ok(format!("release_agent of {controller} can be written")),
            // A kernel that has control groups of version 2 alone knows no such hierarchy.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                last = io::Error::from_raw_os_error(libc::ENOSYS);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
