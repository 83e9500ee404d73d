//! Calls that no library wraps.

use std::io;

/// Calls the kernel by number.
///
/// # Safety
///
/// The arguments must be what the call with this number takes: pointers must be valid
/// for as long as the call needs them.
pub(crate) unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> io::Result<libc::c_long> {
    let [a, b, c, d, e] = arguments;
    // SAFETY: upheld by the caller.
    let returned = unsafe { libc::syscall(number, a, b, c, d, e) };
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(returned)
}

/// Closes a descriptor that a call by number returned.
pub(crate) fn close(descriptor: libc::c_long) {
    // SAFETY: closing a number that is not a descriptor is an error and no more.
    unsafe {
        libc::syscall(libc::SYS_close, descriptor);
    }
}
