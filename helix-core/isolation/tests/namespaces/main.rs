//! Sandboxes as they are: needs root, and leaves nothing behind, which is counted.

mod confinement;
mod leaks;
mod life;
mod support;

use std::process::ExitCode;

use helix_isolation::namespaces::launch_main;
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(code) = launch_main(std::env::args_os()) {
        return code;
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    life::trials(&mut trials);
    confinement::trials(&mut trials);
    leaks::trials(&mut trials);
    if let Some(why) = support::unable() {
        for trial in &trials {
            println!("skipped: {}: {why}", trial.name());
        }
        trials = Vec::<Trial>::new();
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
