//! The project's own commands: `cargo xtask up | test | check | agents | bench`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool speaks on its standard streams"
)]

mod arrows;
mod bench;
mod check;
mod process;
mod report;
mod setup;
mod tally;
mod test;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use workspace::Workspace;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "The project's own commands"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set up what is missing, then run control plane, web app, a runner and a sandbox host here.
    Up(up::Arguments),
    /// Install what the tests need and run all of them, `check` included.
    Test(test::Arguments),
    /// Formatting, lints, dependency arrows, licences, documentation, web app.
    Check,
    /// Install the agents of npm that sandboxes are tested with; says where they are.
    Agents,
    /// Measure against named peers; writes `target/bench/NAME.json`.
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = Workspace::find().and_then(|workspace| match &arguments.command {
        Command::Up(arguments) => up::run(&workspace, arguments),
        Command::Test(arguments) => test::run(&workspace, arguments),
        Command::Check => check::run_alone(&workspace),
        Command::Agents => setup::agents::run(&workspace),
        Command::Bench(bench) => bench::run(&workspace, bench),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
