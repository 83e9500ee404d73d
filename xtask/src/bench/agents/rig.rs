//! The daemons, and a sandbox.

use std::{fs, path::PathBuf, process::Command, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use helix_proto::sandbox::{Sandbox, SandboxState};
use serde_json::json;

use crate::{
    bench::programs::{Programs, free_ports},
    process::{now, output},
    up::{account, api::Api, daemon::Daemon, data::Data, sandboxes},
    workspace::Workspace,
};

/// How long anything may take until it is there.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Everybody in a crowd is one user here, who has a stream for each session.
const CONFIG: &str = "[limits]\nstreams_per_user = 2000\n";

/// What the control plane's log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    Little,
    /// Every statement that the database is given, but for the beginnings and ends of
    /// transactions.
    Statements,
}

/// What stands in the log for each statement.
const STATEMENT: &str = "sqlx::query";

pub(super) struct Rig {
    /// The control plane's process.
    pub(super) server: u32,
    programs: Programs,
    folder: PathBuf,
    url: String,
    key: String,
    data: Data,
    daemon: Daemon,
    sandbox: String,
}

impl Rig {
    pub(super) fn start(workspace: &Workspace, profile: &str, tells: Tells) -> Result<Self> {
        let mut programs = Programs::new(workspace, "agents-rig")?;
        let folder = workspace.target().join(profile);
        let data = Data::open(&programs.folder().join("data"))?;
        let config = programs.folder().join("config.toml");
        let log = match tells {
            Tells::Little => "info".to_owned(),
            Tells::Statements => format!("info,{STATEMENT}=debug"),
        };
        let text = format!("{CONFIG}\n[log]\nfilter = \"{log}\"\n");
        fs::write(&config, text).context("writing the control plane's configuration")?;
        let [port] = free_ports()?;
        let listen = format!("127.0.0.1:{port}");
        let arguments = [
            "--config".into(),
            config.into_os_string(),
            "--data-dir".into(),
            data.folder().into(),
            "--listen".into(),
            listen.as_str().into(),
        ];
        let program = folder.join("helix-server");
        let server = programs.start(workspace, "control-plane", &program, arguments, port)?;
        let url = format!("http://{listen}");
        let key = account::of_admin(&Api::new(&url), &data)?.api_key;
        let api = Api::new(&url).with_key(&key);
        let host = folder.join("helix-sandbox");
        let Some((daemon, id)) = sandboxes::start(workspace, &host, &data, &api)? else {
            bail!("this machine cannot have sandboxes");
        };
        let mut rig = Self {
            server,
            programs,
            folder,
            url,
            key,
            data,
            daemon,
            sandbox: String::new(),
        };
        let made = until("the sandbox host", || sandboxes::is_online(&api, id))
            .and_then(|()| sandbox(&api));
        match made {
            Ok(sandbox) => rig.sandbox = sandbox,
            Err(error) => {
                let said = rig.last_words();
                rig.stop(workspace);
                return Err(error.context(said));
            }
        }
        Ok(rig)
    }

    /// A role of `bench-agents`.
    pub(super) fn bench(&self, workspace: &Workspace, role: &str, numbers: &[u32]) -> Command {
        let mut command = workspace.command(self.folder.join("bench-agents"));
        command.args([role, &self.url, &self.sandbox]);
        command.args(numbers.iter().map(ToString::to_string));
        command.env("HELIX_BENCH_KEY", &self.key);
        let credential = fs::read_to_string(self.data.sandbox().join("credential"));
        command.env("HELIX_BENCH_CREDENTIAL", credential.unwrap_or_default());
        command.env("NO_PROXY", "127.0.0.1").stdout(Stdio::piped());
        command
    }

    /// How many statements the log tells of.
    pub(super) fn statements(&self) -> Result<f64> {
        let log = self.programs.folder().join("control-plane.log");
        let text = fs::read(log).context("reading the control plane's log")?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.matches(STATEMENT).count() as f64)
    }

    pub(super) fn last_words(&self) -> String {
        self.daemon.last_words()
    }

    pub(super) fn stop(&mut self, workspace: &Workspace) {
        self.daemon.stop();
        self.programs.stop();
        let mut purge = workspace.command(self.folder.join("helix-sandbox"));
        purge
            .args(["purge", "--yes", "--data-dir"])
            .arg(self.data.sandbox());
        if let Err(left) = output(workspace, &mut purge, READY_WITHIN) {
            println!("something is left of the sandbox: {left:#}");
        }
    }
}

fn sandbox(api: &Api) -> Result<String> {
    let made: Sandbox = api.post("/api/v1/sandboxes", &json!({ "name": "bench" }))?;
    let path = format!("/api/v1/sandboxes/{}", made.id);
    until("the sandbox", || {
        let seen: Sandbox = api.get(&path)?;
        ensure!(seen.state != SandboxState::Failed, "it failed: {seen:?}");
        Ok(seen.state == SandboxState::Running && seen.reachable)
    })?;
    Ok(made.id.to_string())
}

fn until(what: &str, mut is_there: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = now() + READY_WITHIN;
    while !is_there()? {
        ensure!(
            now() < deadline,
            "{what} is not there within {READY_WITHIN:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
