//! Other processes of the host.

use std::{ffi::CString, io};

use crate::{Outcome, misused};

fn pid(text: &str) -> io::Result<libc::pid_t> {
    text.parse().map_err(|_| misused("give a process id"))
}

/// Attaches to a process, and detaches.
pub(crate) fn ptrace(text: &str) -> Outcome {
    let pid = pid(text)?;
    // SAFETY: PTRACE_SEIZE and PTRACE_DETACH take no pointers here.
    unsafe {
        if libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        // A seized process must stop before it can be let go; ending this process does that.
        libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0);
    }
    Ok(format!("attached to process {pid}"))
}

/// Sends a process the signal that does nothing.
pub(crate) fn signal(text: &str) -> Outcome {
    let pid = pid(text)?;
    // SAFETY: no pointers.
    if unsafe { libc::kill(pid, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(format!("process {pid} takes signals"))
}

/// Looks for a process by a word of its command line.
pub(crate) fn see(word: &str) -> Outcome {
    let own = std::process::id().to_string();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line);
        if line.contains(word) && !line.contains("helix-probe") {
            return Ok(format!("process {name} is {line:?}"));
        }
    }
    Err(io::Error::other("no such process is to be seen"))
}

/// Attaches a System V segment of the host's by its key.
pub(crate) fn shared_memory(key: &str) -> Outcome {
    let key = key.parse().map_err(|_| misused("give a key"))?;
    // SAFETY: no pointers: the segment is looked up, not attached.
    let id = unsafe { libc::shmget(key, 0, 0) };
    if id < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(format!("segment {id} is there"))
}

/// As an ordinary user, runs a program that belongs to root and has the set-user-id bit,
/// and sees whether it ran as root. The program is `id`, or a copy of it.
pub(crate) fn regain_root(program: &str) -> Outcome {
    let path = CString::new(program).map_err(|_| misused("a path without NUL"))?;
    // SAFETY: geteuid cannot fail; access reads a path that lives on.
    let ordinary =
        unsafe { libc::geteuid() } != 0 && unsafe { libc::access(path.as_ptr(), libc::X_OK) } == 0;
    if !ordinary {
        return Err(misused(
            "run as an ordinary user, on a program that can be run",
        ));
    }
    let answer = std::process::Command::new(program).arg("-u").output()?;
    let user = String::from_utf8_lossy(&answer.stdout);
    if user.trim() == "0" {
        return Ok("a set-user-id program ran as root".to_owned());
    }
    Err(io::Error::other(format!("it ran as {}", user.trim())))
}
