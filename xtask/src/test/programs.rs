//! What cargo built: test programs, daemons and examples, all in one go, so that
//! every dependency is compiled once, with one set of features.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use cargo_metadata::{Artifact, Message, TargetKind};

use crate::{
    process::{run, run_lines},
    setup::agents::Agents,
    workspace::Workspace,
};

/// How many end to end tests run side by side: each has daemons of its own, and mostly
/// waits for them, so that this is more than small machines have processors.
const WAITING: &str = "4";
/// The program of tests that has agents in sandboxes.
const AGENTS: &str = "agents";
/// The programs of tests that make sandboxes of namespaces, and what they run.
const SANDBOXES: [(&str, Kind); 6] = [
    (AGENTS, Kind::Test),
    ("docker", Kind::Test),
    ("namespaces", Kind::Test),
    ("ordinary_user", Kind::Test),
    ("held", Kind::Test),
    ("helix-probe", Kind::Daemon),
];

/// The programs of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    all: Vec<Program>,
    agents: Option<Agents>,
}

#[derive(Debug)]
struct Program {
    package: String,
    folder: PathBuf,
    name: String,
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Test,
    Example,
    Daemon,
}

/// Which tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Of the isolation, and of agents in it, which mostly wait for the kernel.
    Sandboxes,
    /// Of whole daemons.
    EndToEnd,
    /// Of all other crates.
    Rest,
}

fn part_of(program: &Program) -> Part {
    match (program.package.as_str(), program.name.as_str()) {
        ("helix-isolation", _) | ("helix-sandbox", AGENTS) => Part::Sandboxes,
        ("helix-tests", _) => Part::EndToEnd,
        _ => Part::Rest,
    }
}

impl Programs {
    /// Builds everything.
    pub(crate) fn build(workspace: &Workspace) -> Result<Self> {
        let all = ["--workspace", "--lib", "--bins", "--tests", "--examples"];
        Self::build_of(workspace, &all)
    }

    /// Builds a part.
    pub(crate) fn build_of(workspace: &Workspace, part: &[&str]) -> Result<Self> {
        let mut command = workspace.cargo();
        command.args(["build", "--locked"]).args(part);
        command.arg("--message-format=json-render-diagnostics");
        let mut all = Vec::new();
        run_lines(
            workspace,
            command.stdout(Stdio::piped()),
            Duration::from_secs(1800),
            |line| {
                if let Ok(Message::CompilerArtifact(artifact)) = serde_json::from_str(line) {
                    all.extend(Program::of(workspace, artifact));
                }
            },
        )?;
        let agents = None;
        Ok(Self { all, agents })
    }

    /// With agents for those that are tested with them.
    pub(crate) fn with_agents(self, agents: Option<Agents>) -> Self {
        Self { agents, ..self }
    }

    /// The tests that make sandboxes and what they run, by their paths, in a settled order.
    pub(crate) fn sandboxes(&self) -> Vec<PathBuf> {
        let built = |&(name, kind): &(&str, Kind)| {
            let is_it = |program: &&Program| program.name == name && program.kind == kind;
            self.all.iter().find(is_it)
        };
        let wanted = SANDBOXES.iter().filter_map(built);
        wanted.map(|program| program.path.clone()).collect()
    }

    /// The test programs of a part, with what they are called.
    pub(crate) fn tests(&self, part: Part) -> impl Iterator<Item = (String, Command)> {
        let arguments: &[&str] = match part {
            Part::EndToEnd => &["--show-output", "--test-threads", WAITING],
            Part::Sandboxes | Part::Rest => &["--show-output"],
        };
        self.of_kind(Kind::Test)
            .filter(move |program| part_of(program) == part)
            .map(move |program| (program.title(), self.command(program, arguments)))
    }

    /// The examples; they keep what they install where the tests do.
    pub(crate) fn examples(&self, workspace: &Workspace) -> impl Iterator<Item = Command> {
        let folder = workspace.tools().join("runner");
        self.of_kind(Kind::Example).map(move |program| {
            println!("\n{}", program.title());
            let mut command = self.command(program, &[]);
            // It would install an engine of its own; the tests have one.
            if program.name == "embedded" {
                command.arg(&folder);
            }
            command
        })
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Program> {
        self.all.iter().filter(move |program| program.kind == kind)
    }

    fn command(&self, program: &Program, arguments: &[&str]) -> Command {
        let mut command = Command::new(&program.path);
        command.args(arguments).current_dir(&program.folder);
        command.env("CARGO_MANIFEST_DIR", &program.folder);
        self.configure(&mut command);
        command
    }

    /// Tells a program where the daemons, the engine and agents are.
    pub(crate) fn configure(&self, command: &mut Command) {
        for daemon in self
            .all
            .iter()
            .filter(|program| program.kind == Kind::Daemon)
        {
            let variable = format!(
                "HELIX_TEST_{}",
                daemon.name.to_uppercase().replace('-', "_")
            );
            command.env(variable, &daemon.path);
        }
        if let Some(agents) = &self.agents {
            agents.configure(command);
        }
    }

    /// Installs llama.cpp's server by the runner's own command.
    pub(crate) fn install_engine(&self, workspace: &Workspace) -> Result<()> {
        let runner = self
            .all
            .iter()
            .find(|p| p.kind == Kind::Daemon && p.name == "helix-runner");
        let runner = runner.context("the build made no helix-runner")?;
        let mut install = Command::new(&runner.path);
        install
            .args(["engine", "install", "llamacpp", "--data-dir"])
            .arg(workspace.tools().join("runner"));
        run(workspace, &mut install, Duration::from_secs(600))
    }
}

impl Program {
    fn title(&self) -> String {
        format!("{} ({})", self.package, self.name)
    }

    fn of(workspace: &Workspace, artifact: Artifact) -> Option<Self> {
        let path = artifact.executable?.into_std_path_buf();
        let package = &workspace.metadata()[&artifact.package_id];
        let kind = match artifact.target.kind.first()? {
            _ if artifact.profile.test => Kind::Test,
            TargetKind::Example => Kind::Example,
            TargetKind::Bin => Kind::Daemon,
            _ => return None,
        };
        Some(Self {
            package: package.name.to_string(),
            folder: package.manifest_path.parent()?.as_std_path().to_owned(),
            name: artifact.target.name,
            path,
            kind,
        })
    }
}
