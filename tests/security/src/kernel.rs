//! Parts of the kernel that a sandbox has no business with.

use crate::{
    Outcome,
    system::{call, close},
};

/// Makes a map for eBPF programs, and closes it.
pub(crate) fn bpf() -> Outcome {
    /// `BPF_MAP_CREATE`'s part of `union bpf_attr`.
    #[repr(C)]
    struct MapCreate {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        rest: [u32; 16],
    }
    let array = MapCreate {
        map_type: 2,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        rest: [0; 16],
    };
    let size = size_of::<MapCreate>();
    // SAFETY: BPF_MAP_CREATE (0) reads `size` bytes of the attributes, which live on.
    let map = unsafe { call(libc::SYS_bpf, [0, (&raw const array).addr(), size, 0, 0]) }?;
    close(map);
    Ok("made an eBPF map".to_owned())
}

/// Opens a software counter of another process's kind: the whole machine's.
pub(crate) fn perf() -> Outcome {
    let mut attributes = [0_u64; 16];
    // type PERF_TYPE_SOFTWARE (1), size 128; config PERF_COUNT_SW_CPU_CLOCK (0).
    attributes[0] = 1 | (128 << 32);
    // SAFETY: the attributes are as large as they say; pid -1, cpu 0, no group, no flags.
    let counter = unsafe {
        call(
            libc::SYS_perf_event_open,
            [attributes.as_ptr().addr(), usize::MAX, 0, usize::MAX, 0],
        )
    }?;
    close(counter);
    Ok("opened a counter of the whole machine".to_owned())
}

/// Asks for the id of the session's keyring.
pub(crate) fn keyring() -> Outcome {
    const KEYCTL_GET_KEYRING_ID: usize = 0;
    const SESSION_KEYRING: usize = (-3_isize).cast_unsigned();
    // SAFETY: no pointers.
    let id = unsafe {
        call(
            libc::SYS_keyctl,
            [KEYCTL_GET_KEYRING_ID, SESSION_KEYRING, 1, 0, 0],
        )
    }?;
    Ok(format!("the session's keyring is {id}"))
}

/// Opens a descriptor that handles the kernel's page faults.
pub(crate) fn userfaultfd() -> Outcome {
    // SAFETY: no pointers; the flags are O_CLOEXEC.
    let descriptor = unsafe {
        call(
            libc::SYS_userfaultfd,
            [libc::O_CLOEXEC.cast_unsigned() as usize, 0, 0, 0, 0],
        )
    }?;
    close(descriptor);
    Ok("opened a userfaultfd".to_owned())
}

/// Sets up a ring of one entry, and closes it.
pub(crate) fn io_uring() -> Outcome {
    let mut parameters = [0_u8; 256];
    // SAFETY: the parameters' 120 bytes are written into a larger buffer that lives on.
    let ring = unsafe {
        call(
            libc::SYS_io_uring_setup,
            [1, parameters.as_mut_ptr().addr(), 0, 0, 0],
        )
    }?;
    close(ring);
    Ok("set up an io_uring".to_owned())
}

/// Becomes root of a user namespace of its own, from where more of the kernel is in reach.
pub(crate) fn new_user_namespace() -> Outcome {
    // SAFETY: no pointers; this process has one thread.
    unsafe {
        call(
            libc::SYS_unshare,
            [libc::CLONE_NEWUSER.cast_unsigned() as usize, 0, 0, 0, 0],
        )
    }?;
    Ok("made a user namespace".to_owned())
}

/// Asks for the process's id by the kernel's 32-bit entrance, whose calls have other
/// numbers: a filter that only looks at numbers lets through what it means to stop.
#[cfg(target_arch = "x86_64")]
pub(crate) fn other_numbers() -> Outcome {
    const GETPID_OF_I386: i64 = 20;
    let mut answer = GETPID_OF_I386;
    // SAFETY: getpid takes no arguments; the 32-bit entrance clears r8 to r11.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inout("rax") answer,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    if answer == i64::from(std::process::id()) {
        return Ok("the 32-bit entrance answers".to_owned());
    }
    let error = i32::try_from(-answer).unwrap_or(libc::ENOSYS);
    Err(std::io::Error::from_raw_os_error(error))
}

/// Other processors have one entrance.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn other_numbers() -> Outcome {
    Err(std::io::Error::from_raw_os_error(libc::ENOSYS))
}

/// Pushes a character into a terminal of its own, as if it had been typed.
pub(crate) fn terminal_input() -> Outcome {
    let open = libc::O_RDWR | libc::O_NOCTTY;
    // SAFETY: a constant path; the descriptors are this process's own.
    let pushed = unsafe {
        let master = libc::open(c"/dev/ptmx".as_ptr(), open);
        if master < 0 || libc::grantpt(master) != 0 || libc::unlockpt(master) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let mut name = [0; 64];
        if libc::ptsname_r(master, name.as_mut_ptr(), name.len()) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        libc::setsid();
        // Without O_NOCTTY it becomes this session's terminal.
        let terminal = libc::open(name.as_ptr(), libc::O_RDWR);
        if terminal < 0 {
            return Err(std::io::Error::last_os_error());
        }
        libc::ioctl(terminal, libc::TIOCSTI, c"x".as_ptr())
    };
    if pushed != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok("typed into the terminal".to_owned())
}
