//! Loop devices: a file as a disk.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::ioctl::{self, Opcode, Setter};

const LOOP_CTL_ADD: libc::Ioctl = 0x4C80;
/// Any number that no device has.
const ANY: libc::c_int = -1;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
const LOOP_CONFIGURE: Opcode = 0x4C0A;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// Makes files disks, several at a time.
#[derive(Debug, Default)]
pub(super) struct Loops {
    /// Devices that are free as far as the kernel knows, and about to be taken here.
    /// Without this, of many who ask at once each gets the same device, and one has it.
    claimed: Mutex<BTreeSet<libc::c_int>>,
}

/// A device that nobody else of this process takes meanwhile.
struct Claim<'a> {
    loops: &'a Loops,
    number: libc::c_int,
}

impl Loops {
    /// Makes `file` a disk, which is gone when nobody has it open or mounted any more.
    /// Returns its path, and what keeps it until it is mounted.
    pub(super) fn attach(&self, file: &File) -> io::Result<(PathBuf, File)> {
        let control = open(Path::new("/dev/loop-control"))?;
        // Another process may take the device that was free a moment ago.
        for _ in 0..64 {
            let claim = self.claim(&control)?;
            let path = PathBuf::from(format!("/dev/loop{}", claim.number));
            let device = open(&path)?;
            match configure(&device, file) {
                Ok(()) => return Ok((path, device)),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "other processes took every loop device that was free",
        ))
    }

    fn claim(&self, control: &File) -> io::Result<Claim<'_>> {
        let mut claimed = self.claimed();
        let mut number = ask(control, LOOP_CTL_GET_FREE, 0)?;
        if claimed.contains(&number) {
            number = ask(control, LOOP_CTL_ADD, ANY)?;
        }
        claimed.insert(number);
        Ok(Claim {
            loops: self,
            number,
        })
    }

    fn claimed(&self) -> MutexGuard<'_, BTreeSet<libc::c_int>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.loops.claimed().remove(&self.number);
    }
}

/// Asks for the number of a device.
fn ask(control: &File, request: libc::Ioctl, argument: libc::c_int) -> io::Result<libc::c_int> {
    // SAFETY: both requests take a number or nothing, and return a number.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), request, argument) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(number)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn configure(device: &File, file: &File) -> io::Result<()> {
    let config = LoopConfig {
        fd: file.as_raw_fd().cast_unsigned(),
        block_size: 4096,
        info: LoopInfo {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_AUTOCLEAR,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    // SAFETY: the opcode takes a pointer to this struct, which the kernel only reads.
    unsafe {
        ioctl::ioctl(
            device.as_fd(),
            Setter::<LOOP_CONFIGURE, LoopConfig>::new(config),
        )
    }
    .map_err(Into::into)
}

/// Which loop devices `file` is the disk of.
pub(super) fn devices_of(file: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"loop"))
        .filter(|entry| {
            std::fs::read(entry.path().join("loop/backing_file")).is_ok_and(|name| {
                let name = name.strip_suffix(b"\n").unwrap_or(&name);
                let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
                name == file.as_os_str().as_encoded_bytes()
            })
        })
        .map(|entry| Path::new("/dev").join(entry.file_name()))
        .collect()
}
