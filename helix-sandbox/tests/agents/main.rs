//! Agents in real sandboxes: needs root.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests, without the standard harness"
)]

#[path = "../../src/agents/tests/control.rs"]
mod control;
mod scripted;
mod world;

use std::process::ExitCode;

use helix_isolation::namespaces::launch_main;
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    // This program also begins the sandboxes, and is the built-in agent inside them.
    if let Some(code) = launch_main(std::env::args_os()) {
        return code;
    }
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("agent") {
        return built_in();
    }
    let mut trials: Vec<Trial> = Vec::new();
    scripted::trials(&mut trials);
    if !rustix::process::geteuid().is_root() {
        for trial in trials.drain(..) {
            println!("skipped: {}: needs root", trial.name());
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[tokio::main]
async fn built_in() -> ExitCode {
    let variable = |name: &str| std::env::var(name).unwrap();
    let options = helix_sandbox::AssistantOptions {
        api: variable("HELIX_API").parse().unwrap(),
        key: variable("HELIX_API_KEY").into(),
        model: variable("HELIX_MODEL"),
        outbound: helix_base::OutboundOptions::default(),
        folder: std::path::Path::new(&variable("HOME")).join("state"),
    };
    match helix_sandbox::assist(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
