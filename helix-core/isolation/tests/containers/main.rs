//! Sandboxes in containers of a Docker daemon of the test's own.
//!
//! The test runs itself once more in namespaces of its own for networks, mounts and
//! processes, so that the daemon, its containers and the firewall go with it, however it
//! ends. Takes root, `dockerd`, `unshare`, `nft` and a static `busybox`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test without the usual harness"
)]

mod confinement;
mod daemon;
mod joined;
mod kit;
mod life;
mod place;

use std::process::{Command, ExitCode, Stdio};

use helix_isolation::containers::guest_main;
use libtest_mimic::{Arguments, Trial};

/// Names the directory of the test to its run in namespaces.
const DIRECTORY: &str = "HELIX_TEST_CONTAINERS";

fn main() -> ExitCode {
    if let Some(code) = guest_main(std::env::args_os()) {
        return code;
    }
    let mut arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials()).exit_code();
    }
    if let Some(why) = missing() {
        for trial in trials() {
            println!("skipped: {}: {why}", trial.name());
        }
        return ExitCode::SUCCESS;
    }
    match std::env::var_os(DIRECTORY) {
        Some(directory) => {
            let daemon = daemon::Daemon::start(directory.as_ref());
            arguments.test_threads = Some(1);
            let code = libtest_mimic::run(&arguments, trials()).exit_code();
            drop(daemon);
            code
        }
        None => in_namespaces(),
    }
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    kit::trials(&mut trials);
    joined::trials(&mut trials);
    life::trials(&mut trials);
    confinement::trials(&mut trials);
    trials
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    for (program, argument) in [
        ("dockerd", "--version"),
        ("docker", "--version"),
        ("nft", "--version"),
        ("unshare", "--version"),
        ("mount", "--version"),
        ("busybox", "true"),
    ] {
        let mut command = Command::new(program);
        if command
            .arg(argument)
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            return Some(format!("needs {program}"));
        }
    }
    None
}

/// Everything that runs in there dies with the first process, and its mounts go then.
fn in_namespaces() -> ExitCode {
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(std::env::args_os().skip(1))
        .env(DIRECTORY, directory.path())
        .status()
        .unwrap();
    daemon::remove_cgroups(directory.path());
    match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
