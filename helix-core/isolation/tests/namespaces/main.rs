//! Sandboxes as they are: needs root, and leaves nothing behind, which is counted.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests, without the standard harness"
)]

mod confinement;
mod leaks;
mod life;
mod speed;
mod support;

use std::{path::Path, process::ExitCode};

use helix_base::TaskGroup;
use helix_isolation::{Isolation as _, namespaces::launch_main};
use libtest_mimic::Arguments;

/// Makes this program a daemon that starts a sandbox and waits to be killed.
const DAEMON: &str = "test-daemon";

fn main() -> ExitCode {
    if let Some(code) = launch_main(std::env::args_os()) {
        return code;
    }
    let mut args = std::env::args_os().skip(1);
    if let (Some(first), Some(place)) = (args.next(), args.next())
        && first == DAEMON
    {
        daemon(Path::new(&place));
        return ExitCode::SUCCESS;
    }
    let mut trials = Vec::new();
    leaks::trials(&mut trials);
    life::trials(&mut trials);
    confinement::trials(&mut trials);
    speed::trials(&mut trials);
    if let Some(why) = support::unable() {
        for trial in trials.drain(..) {
            println!("skipped: {}: {why}", trial.name());
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[tokio::main]
async fn daemon(place: &Path) {
    let backend = support::open(place, &TaskGroup::new()).await;
    let spec = support::Place::at(place).spec();
    let sandbox = backend.create(&spec).await.unwrap();
    println!("starting");
    sandbox.start(&support::Phases::default()).await.unwrap();
    std::future::pending::<()>().await;
}
