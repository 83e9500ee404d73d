//! The process that stages 0 are forked from.
//!
//! It has a single thread and reads nothing of what it passes on: a descriptor is all that
//! it ever has of a sandbox, so a fork for the next one has nothing of it. It ends with the
//! daemon.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    process::ExitCode,
};

use super::{Report, channel, stage, sys};

/// Forks a stage 0 for every packet that comes on the standard input.
pub(super) fn run() -> ExitCode {
    let requests = io::stdin();
    if let Err(error) = sys::forget_children(true) {
        tracing::error!(%error, "the launcher cannot run");
        return ExitCode::FAILURE;
    }
    while let Ok(((), fds)) = channel::receive(&requests) {
        let mut fds = fds.into_iter();
        let Some(control) = fds.next() else {
            continue;
        };
        match sys::fork() {
            Ok(sys::Fork::Child) => sys::exit(child(control, fds.collect())),
            Ok(sys::Fork::Parent(_)) => {}
            Err(error) => {
                let failed = Report::Failed(format!("forking stage 0: {error}"));
                // If the daemon is gone, the next packet does not come.
                let _ = channel::send(&control, &failed, &[]);
            }
        }
    }
    ExitCode::SUCCESS
}

/// What is the launcher's own does not stay open in stage 0.
fn child(control: OwnedFd, fds: Vec<OwnedFd>) -> i32 {
    let settled = sys::place(control.as_fd(), 0).and_then(|()| sys::forget_children(false));
    drop(control);
    match settled {
        Ok(()) => stage::run(fds),
        Err(_) => 1,
    }
}
