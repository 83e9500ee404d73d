//! Programs run in a sandbox through the whole path: REST, control plane, tunnel, host,
//! sandbox, and back; with the real daemons.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use helix_proto::sandbox::{Sandbox, SandboxState, guest::ExecResult};
use serde_json::json;

use crate::{
    bench::programs::{Programs, free_ports},
    process::{now, output},
    up::{account, api::Api, data::Data, sandboxes},
    workspace::Workspace,
};

/// How long anything may take until it is there.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long each round trip of `/bin/true` took, in milliseconds.
pub(super) fn measure(workspace: &Workspace, rounds: usize) -> Result<Vec<f64>> {
    let mut programs = Programs::new(workspace, "isolation-path")?;
    let data = Data::open(&programs.folder().join("data"))?;
    let api = control_plane(workspace, &mut programs, &data)?;
    let host = workspace.target().join("release/helix-sandbox");
    let Some((mut daemon, id)) = sandboxes::start(workspace, &host, &data, &api)? else {
        bail!("this machine cannot have sandboxes");
    };
    let measured = until("the sandbox host", || sandboxes::is_online(&api, id))
        .and_then(|()| round_trips(&api, rounds))
        .with_context(|| daemon.last_words());
    daemon.stop();
    programs.stop();
    // Where there is no sandbox left, this removes what a host has for all of them.
    let mut check = workspace.command(&host);
    check.arg("check").arg("--data-dir").arg(data.sandbox());
    output(workspace, &mut check, READY_WITHIN)?;
    measured
}

fn control_plane(workspace: &Workspace, programs: &mut Programs, data: &Data) -> Result<Api> {
    let [port] = free_ports()?;
    let listen = format!("127.0.0.1:{port}");
    let folder = data.folder().display().to_string();
    let server = workspace.target().join("release/helix-server");
    let arguments = ["--data-dir", &folder, "--listen", &listen];
    programs.start(workspace, "control-plane", &server, arguments, port)?;
    let url = format!("http://{listen}");
    let account = account::of_admin(&Api::new(&url), data)?;
    Ok(Api::new(&url).with_key(&account.api_key))
}

fn round_trips(api: &Api, rounds: usize) -> Result<Vec<f64>> {
    let made: Sandbox = api.post("/api/v1/sandboxes", &json!({ "name": "bench" }))?;
    let path = format!("/api/v1/sandboxes/{}", made.id);
    until("the sandbox", || {
        let seen: Sandbox = api.get(&path)?;
        ensure!(seen.state != SandboxState::Failed, "it failed: {seen:?}");
        Ok(seen.state == SandboxState::Running && seen.reachable)
    })?;
    let (exec, program) = (format!("{path}/exec"), json!({ "command": ["/bin/true"] }));
    let mut took = Vec::new();
    for _ in 0..rounds {
        let began = now();
        let ran: ExecResult = api.post(&exec, &program)?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(ran.exit.code == Some(0), "true ended with {:?}", ran.exit);
    }
    api.delete(&path)?;
    Ok(took)
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
