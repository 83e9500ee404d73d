//! The first process of a container.

use std::{ffi::OsString, fs, io::Write as _, process::ExitCode};

use super::{handshake, program};
use crate::guest;

/// The argument that makes the program the first process of a container.
pub const ARGUMENT: &str = "container-guest";

/// Is the guest of a container, if that is what the arguments say. A program that gives
/// itself as [`Options::program`](super::Options::program) calls this first in its `main`,
/// before it starts any thread.
pub fn guest_main(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    if arguments.into_iter().nth(1)? != ARGUMENT {
        return None;
    }
    match handshake::hear() {
        Ok((told, listener)) => {
            // Docker mounts a file of the sandbox's own there. What stands in its way is the
            // sandbox's own doing.
            let _ = fs::write("/etc/resolv.conf", told.resolv_conf);
            let _ = program::link_offered();
            Some(guest::run(told.guest, listener))
        }
        Err(error) => {
            let _ = writeln!(
                std::io::stderr(),
                "the host does not say what to do: {error}"
            );
            Some(ExitCode::FAILURE)
        }
    }
}
