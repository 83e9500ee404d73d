//! A sandbox host that joined a control plane.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use helix_proto::{
    fleet::{CreateJoinTokenRequest, CreatedJoinToken, MachineRole},
    sandbox::{
        Sandbox, SandboxState,
        guest::ExecResult,
        host::{SandboxHost as HostView, SandboxHostState},
    },
};
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    World, client::Client, eventually, eventually::SOON, process::Process, programs::programs,
};

/// Whether this machine can have sandboxes; says so where it cannot.
///
/// # Panics
/// When the host's program cannot be run.
#[expect(clippy::print_stdout, reason = "who reads the tests' output is told")]
pub fn may_host() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let checked = checked(folder.path(), &[]);
    if !checked.status.success() {
        let why = String::from_utf8_lossy(&checked.stdout).into_owned();
        println!("skipped: this machine cannot have sandboxes:\n{why}");
    }
    checked.status.success()
}

/// Looks at the machine, and leaves nothing where there are no sandboxes.
fn checked(data: &Path, settings: &[(&str, String)]) -> Output {
    let mut check = Command::new(&programs().sandbox);
    check.arg("check").arg("--data-dir").arg(data);
    check.envs(settings.iter().cloned()).output().unwrap()
}

/// Deletes what a host that was stopped has on the machine, if it ever began.
///
/// # Panics
/// When it cannot.
pub fn purge(data: &Path) {
    if !data.join("lock").exists() {
        return;
    }
    let mut purge = Command::new(&programs().sandbox);
    purge.args(["purge", "--yes", "--data-dir"]).arg(data);
    let output = purge.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}

/// A sandbox host that joined a control plane.
#[derive(Debug)]
pub struct SandboxHost {
    /// Where it keeps everything.
    pub data: PathBuf,
    admin: Client,
    settings: Vec<(&'static str, String)>,
    process: Process,
}

impl SandboxHost {
    /// Each host of this machine has a network of its own, which none chooses by itself: not
    /// one of 10.213.0.0/16 to 10.243.0.0/16.
    pub async fn join(world: &World, subnet: &str) -> Self {
        let subnet = ("HELIX_SANDBOX_ISOLATION__SUBNET", subnet.to_owned());
        Self::with_settings(world, vec![subnet]).await
    }

    /// A host with these variables.
    pub async fn with_settings(world: &World, settings: Vec<(&'static str, String)>) -> Self {
        let request = CreateJoinTokenRequest {
            name: "a machine".to_owned(),
            max_uses: None,
            expires_at_ms: None,
            role: MachineRole::SandboxHost,
        };
        let made: CreatedJoinToken = world.admin.post("/api/v1/join-tokens", &request).await;
        let data = world.folder().join("sandboxes");
        let mut joining = settings.clone();
        joining.push(("HELIX_SANDBOX_JOIN_TOKEN", made.secret));
        let host = Self {
            process: Self::process(world.server.url(), &data, &joining),
            admin: world.admin.clone(),
            data,
            settings,
        };
        host.until_online().await;
        host
    }

    fn process(url: &str, data: &Path, settings: &[(&str, String)]) -> Process {
        let mut command = Command::new(&programs().sandbox);
        command.arg("--data-dir").arg(data);
        command.env("HELIX_SANDBOX_SERVER", url);
        command.envs(settings.iter().cloned());
        Process::start(&mut command, &data.with_extension("log"))
    }

    /// The host's own command line, on its data.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&programs().sandbox);
        command.args(arguments).arg("--data-dir").arg(&self.data);
        command
            .envs(self.settings.iter().cloned())
            .output()
            .unwrap()
    }

    /// The host as the control plane knows it.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn view(&self) -> HostView {
        let hosts: Vec<HostView> = self.admin.get("/api/v1/sandbox-hosts").await;
        hosts.into_iter().next().unwrap()
    }

    /// Waits until it is connected.
    pub async fn until_online(&self) {
        eventually("the sandbox host", SOON, async || {
            let hosts: Vec<HostView> = self.admin.get("/api/v1/sandbox-hosts").await;
            match hosts.as_slice() {
                [host] if host.state == SandboxHostState::Online && host.info.is_some() => Ok(()),
                _ => Err((hosts, self.process.log())),
            }
        })
        .await;
    }

    /// The host ends in this way, and is started again.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn restarted(mut self, signal: Signal) -> Self {
        self.process.signal(signal);
        self.process.wait(SOON).await;
        self.process = Self::process(self.admin.url(), &self.data, &self.settings);
        self.until_online().await;
        self
    }

    /// A sandbox that runs.
    pub async fn sandbox(&self, request: Value) -> Sandbox {
        let made: Sandbox = self.admin.post("/api/v1/sandboxes", &request).await;
        self.until(&made, SandboxState::Running).await
    }

    /// Waits until a sandbox is so.
    pub async fn until(&self, sandbox: &Sandbox, state: SandboxState) -> Sandbox {
        let path = format!("/api/v1/sandboxes/{}", sandbox.id);
        eventually("the sandbox", SOON, async || {
            let seen: Sandbox = self.admin.get(&path).await;
            if seen.state == state && seen.reachable {
                Ok(seen)
            } else {
                Err((seen, self.process.log()))
            }
        })
        .await
    }

    /// A request below a sandbox's path: the status and the body of its answer.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn call(
        &self,
        method: Method,
        sandbox: &Sandbox,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Vec<u8>) {
        let path = format!("/api/v1/sandboxes/{}{path}", sandbox.id);
        let request = self.admin.request(method, &path).body(body);
        let request = request.header("content-type", "application/json");
        let answer = request.send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap().to_vec())
    }

    /// What a shell says to a line.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn shell(&self, sandbox: &Sandbox, line: &str) -> String {
        let body = json!({ "command": ["sh", "-c", line] }).to_string();
        let (status, body) = self.call(Method::POST, sandbox, "/exec", body).await;
        let said = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, StatusCode::OK, "{said}");
        let result: ExecResult = serde_json::from_slice(&body).unwrap();
        assert_eq!(result.exit.code, Some(0), "{said}");
        match result.stdout {
            helix_proto::sandbox::guest::Output::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    /// Ends, with what its firewall and control groups have for all sandboxes.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn end(mut self) {
        self.process.stop().await;
        assert!(checked(&self.data, &self.settings).status.success());
    }

    /// Deletes a sandbox.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn delete(&self, sandbox: &Sandbox) {
        let (status, _) = self.call(Method::DELETE, sandbox, "", "").await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }
}
