//! `cargo xtask check`: what can be said about the code without running it.

use std::time::Duration;

use anyhow::Result;

use crate::{
    arrows,
    process::{run, run_merged},
    report::Report,
    setup::{self, tools},
    workspace::Workspace,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Runs every check of the Rust code.
pub(crate) fn code(workspace: &Workspace, report: &mut Report) {
    report.stage(workspace, "formatting", || {
        run(
            workspace,
            workspace.cargo().args(["fmt", "--all", "--check"]),
            2 * MINUTE,
        )
    });
    report.stage(workspace, "lints", || lints(workspace));
    report.stage(workspace, "dependency arrows", || {
        arrows::check(workspace.metadata())
    });
    report.stage(workspace, "licences", || licences(workspace));
    report.stage(workspace, "documentation", || documentation(workspace));
}

/// Runs every check of the web app.
pub(crate) fn web(workspace: &Workspace, report: &mut Report) {
    report.stage_aside(workspace, "web app, without running it", |said| {
        let mut npm = setup::node(workspace)?.npm(workspace);
        run_merged(workspace, npm.args(["run", "check"]), 10 * MINUTE, |line| {
            said.push_str(line);
            said.push('\n');
        })
    });
}

/// `cargo xtask check`.
pub(crate) fn run_alone(workspace: &Workspace) -> Result<()> {
    let mut report = Report::default();
    report.stage(workspace, "web app's packages", || {
        setup::web_packages(workspace)
    });
    report.beside(
        |report| code(workspace, report),
        |report| web(workspace, report),
    );
    report.finish(workspace)
}

fn lints(workspace: &Workspace) -> Result<()> {
    let mut clippy = workspace.cargo();
    clippy.args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    run(workspace, &mut clippy, 25 * MINUTE)
}

/// Advisories are left out: they need a clone of a Git repository that many
/// build machines cannot reach, and change without a change here.
fn licences(workspace: &Workspace) -> Result<()> {
    let cargo_deny = tools::cargo_deny(workspace)?;
    let mut command = workspace.command(cargo_deny);
    command.args([
        "--offline",
        "--locked",
        "--workspace",
        "check",
        "--hide-inclusion-graph",
    ]);
    run(
        workspace,
        command.args(["licenses", "bans", "sources"]),
        5 * MINUTE,
    )
}

fn documentation(workspace: &Workspace) -> Result<()> {
    let mut doc = workspace.cargo();
    doc.args(["doc", "--quiet", "--locked", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    run(workspace, &mut doc, 15 * MINUTE)
}
