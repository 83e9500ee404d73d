//! `cargo xtask test`: installs what the tests need and runs all of them.

mod machine;
mod programs;

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};

use crate::{
    check,
    process::run_merged,
    report::Report,
    setup::{
        self,
        agents::{self, Agents},
        packages, python,
    },
    tally::{Reader, Tally},
    workspace::Workspace,
};
use programs::{Part, Programs};

const MINUTE: Duration = Duration::from_secs(60);

/// What `cargo xtask test` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Install nothing: the machine has what the tests need.
    #[arg(long)]
    no_setup: bool,
    /// Only the tests of sandboxes, in a virtual machine of Debian's packages whose control
    /// groups are of version 2. Makes that machine the first time, as root.
    #[arg(long)]
    cgroup_v2: bool,
    /// Emulate the virtual machine: where there is no /dev/kvm, or it does not come up.
    #[arg(long, requires = "cgroup_v2")]
    emulate: bool,
}

/// Sets up, runs every stage, prints what came of each.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    if arguments.cgroup_v2 {
        return machine::run_all(workspace, !arguments.no_setup, arguments.emulate);
    }
    let mut report = Report::default();
    let mut tally = Tally::default();
    let ready = arguments.no_setup || set_up(workspace, &mut report);
    if ready {
        let agents = check_and_install(workspace, &mut report, arguments.no_setup);
        run_tests(workspace, &mut report, &mut tally, agents);
    } else {
        report.cannot_run("everything else", "a part of the set-up");
    }
    let outcome = report.finish(workspace);
    println!("{tally}");
    outcome
}

fn set_up(workspace: &Workspace, report: &mut Report) -> bool {
    let packages = report.stage(workspace, "system packages", || {
        let missing = packages::missing(workspace, packages::FOR_TESTS);
        packages::install(workspace, &missing)
    });
    packages
        && report.stage(workspace, "web app's packages", || {
            setup::web_packages(workspace)
        })
}

/// Checks the code, and loads agents meanwhile, which keeps the network busy and not the machine.
/// None where they could not be made to run.
fn check_and_install(workspace: &Workspace, report: &mut Report, no_setup: bool) -> Option<Agents> {
    if no_setup {
        check::code(workspace, report);
        return Some(Agents::installed(workspace));
    }
    let mut agents = None;
    report.beside(
        |report| check::code(workspace, report),
        |report| {
            report.stage_aside(workspace, "agents of npm", |said| {
                agents = Some(agents::install(workspace, said)?);
                Ok(())
            });
        },
    );
    agents
}

/// What is known of the web app without a browser.
fn tests_of_web_app(workspace: &Workspace, report: &mut Report, tally: &mut Tally) {
    check::web(workspace, report);
    report.stage_aside(workspace, "web app's unit tests", |said| {
        let mut npm = setup::node(workspace)?.npm(workspace);
        let npm = npm.args(["run", "test"]);
        count(workspace, tally, npm, 10 * MINUTE, kept(said))
    });
}

fn run_tests(
    workspace: &Workspace,
    report: &mut Report,
    tally: &mut Tally,
    agents: Option<Agents>,
) {
    // Before the daemons: they carry the web app.
    let web = report.stage(workspace, "web app", || setup::build_web(workspace));
    let mut programs = Programs::default();
    let built = report.stage(workspace, "Rust build", || {
        programs = Programs::build(workspace)?.with_agents(agents);
        Ok(())
    });
    if !built {
        tests_of_web_app(workspace, report, tally);
        return report.cannot_run("tests", "the Rust build");
    }
    let engine = report.stage(workspace, "engine", || programs.install_engine(workspace));
    if !(web && engine) {
        tests_of_web_app(workspace, report, tally);
        rust_tests(workspace, report, tally, &programs);
        tests_of_sandboxes(workspace, report, tally, &programs);
        return report.cannot_run("end to end", "the web app's build or the engine");
    }
    let (mut of_sandboxes, mut of_web_app) = (Tally::default(), Tally::default());
    // Most of what tests do is wait, for the kernel or for daemons; a browser computes.
    report.beside(
        |report| {
            rust_tests(workspace, report, tally, &programs);
            end_to_end(workspace, report, tally, &programs);
        },
        |report| {
            report.beside(
                |report| tests_of_sandboxes(workspace, report, &mut of_sandboxes, &programs),
                |report| {
                    tests_of_web_app(workspace, report, &mut of_web_app);
                    tests_in_a_browser(workspace, report, &mut of_web_app, &programs);
                },
            );
        },
    );
    *tally += of_sandboxes;
    *tally += of_web_app;
}

fn tests_of_sandboxes(
    workspace: &Workspace,
    report: &mut Report,
    tally: &mut Tally,
    programs: &Programs,
) {
    report.stage_aside(workspace, "Rust tests of sandboxes", |said| {
        let tests = programs.tests(Part::Sandboxes);
        run_each(workspace, tally, tests, 10 * MINUTE, kept(said))
    });
}

fn tests_in_a_browser(
    workspace: &Workspace,
    report: &mut Report,
    tally: &mut Tally,
    programs: &Programs,
) {
    report.stage_aside(workspace, "end to end, in a browser", |said| {
        let mut npm = setup::node(workspace)?.npm(workspace);
        programs.configure(&mut npm);
        let mut npm = in_own_network(npm.args(["run", "e2e"]));
        count(workspace, tally, &mut npm, 15 * MINUTE, kept(said))
    });
}

fn rust_tests(workspace: &Workspace, report: &mut Report, tally: &mut Tally, programs: &Programs) {
    report.stage(workspace, "Rust tests", || {
        let tests = with_python(workspace, programs.tests(Part::Rest))?;
        run_each(workspace, tally, tests, 10 * MINUTE, shown)
    });
    report.stage(workspace, "documentation's examples", || {
        let mut doc = workspace.cargo();
        doc.args(["test", "--quiet", "--locked", "--workspace", "--doc"]);
        count(workspace, tally, &mut doc, 15 * MINUTE, shown)
    });
}

/// Tests that find the Python that has other people's clients.
fn with_python(
    workspace: &Workspace,
    tests: impl Iterator<Item = (String, Command)>,
) -> Result<impl Iterator<Item = (String, Command)>> {
    let requirements = workspace.root().join("tests/python/requirements.txt");
    let python = python::environment(workspace, "tests", &requirements)?.join("bin/python");
    Ok(tests.map(move |(title, mut command)| {
        command.env("HELIX_TEST_PYTHON", &python);
        (title, command)
    }))
}

fn end_to_end(workspace: &Workspace, report: &mut Report, tally: &mut Tally, programs: &Programs) {
    report.stage(workspace, "end to end", || {
        let tests = with_python(workspace, programs.tests(Part::EndToEnd))?;
        run_each(workspace, tally, tests, 30 * MINUTE, shown)
    });
    report.stage(workspace, "examples", || {
        for mut example in programs.examples(workspace) {
            crate::process::run(workspace, &mut example, 3 * MINUTE)?;
        }
        Ok(())
    });
}

/// The same command in a network of its own, with nothing but a loopback: Chromium breaks off
/// what it loads whenever the machine's interfaces change, and tests of sandboxes, which need
/// root as this does, change them all the time.
fn in_own_network(command: &Command) -> Command {
    let root = rustix::process::geteuid().is_root();
    let mut own = Command::new(if root { "unshare" } else { "env" });
    if root {
        let script = r#"ip link set lo up && exec "$0" "$@""#;
        own.args(["--net", "sh", "-c", script]);
    }
    own.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => own.env(name, value),
            None => own.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        own.current_dir(folder);
    }
    own
}

/// Where lines of tests go that run by themselves.
fn shown(line: &str) {
    println!("{line}");
}

/// Where lines of tests go that run beside others.
fn kept(said: &mut String) -> impl FnMut(&str) {
    |line| {
        said.push_str(line);
        said.push('\n');
    }
}

/// Runs each program; one that fails does not keep the others from running.
fn run_each(
    workspace: &Workspace,
    tally: &mut Tally,
    programs: impl Iterator<Item = (String, Command)>,
    limit: Duration,
    mut show: impl FnMut(&str),
) -> Result<()> {
    let mut failures = Vec::new();
    for (title, mut command) in programs {
        show("");
        show(&title);
        if let Err(error) = count(workspace, tally, &mut command, limit, &mut show) {
            failures.push(format!("{error:#}"));
        }
        ensure!(!workspace.stopped(), "interrupted");
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Runs one program of tests, shows what it says, and counts.
fn count(
    workspace: &Workspace,
    tally: &mut Tally,
    command: &mut Command,
    limit: Duration,
    mut show: impl FnMut(&str),
) -> Result<()> {
    let mut reader = Reader::default();
    command.env("NO_COLOR", "1").env("CI", "1");
    let outcome = run_merged(workspace, command, limit, |line| {
        if reader.line(line) {
            show(line);
        }
    });
    *tally += reader.tally();
    outcome
}
