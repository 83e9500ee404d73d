//! Docker inside sandboxes as they are: needs root and Docker's programs, and leaves
//! nothing behind. The images are made from a static busybox: nothing is pulled.

#![expect(clippy::unwrap_used, reason = "in a test, what fails ends it")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says why")]

mod daemon;
mod everyday;
mod images;
mod reach;
#[expect(dead_code, reason = "the tests of the backend use the rest")]
#[path = "../namespaces/support.rs"]
mod support;

use std::process::ExitCode;

use helix_isolation::{docker, namespaces::launch_main};
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(code) = launch_main(std::env::args_os()) {
        return code;
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    daemon::trials(&mut trials);
    everyday::trials(&mut trials);
    images::trials(&mut trials);
    reach::trials(&mut trials);
    if let Some(why) = unable() {
        for trial in &trials {
            println!("skipped: {}: {why}", trial.name());
        }
        trials = Vec::<Trial>::new();
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn unable() -> Option<String> {
    if let Some(why) = support::unable() {
        return Some(why.to_owned());
    }
    for program in ["/bin/busybox", "/usr/bin/docker", "/usr/bin/python3"] {
        if !exists(program) {
            return Some(format!("there is no {program}"));
        }
    }
    docker::on_this_system().err()
}

pub(crate) fn exists(program: &str) -> bool {
    std::path::Path::new(program).exists()
}
