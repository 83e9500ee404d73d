//! The one sandbox host, where this machine can have sandboxes.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::Result;
use helix_proto::{
    SandboxHostId,
    sandbox::host::{CreateSandboxHostRequest, CreatedSandboxHost, SandboxHost, SandboxHostState},
};

use super::{
    api::Api,
    daemon::Daemon,
    data::{Data, write_private},
};
use crate::{process::run_lines, workspace::Workspace};

/// How long looking at the machine may take.
const CHECK_WITHIN: Duration = Duration::from_secs(60);

/// Starts the sandbox host; none where this machine cannot have sandboxes, after saying why.
pub(crate) fn start(
    workspace: &Workspace,
    program: &Path,
    data: &Data,
    api: &Api,
) -> Result<Option<(Daemon, SandboxHostId)>> {
    let mut check = Command::new(program);
    check.args(["check", "--data-dir"]).arg(data.sandbox());
    let mut lacking = Vec::new();
    let checked = run_lines(workspace, &mut check, CHECK_WITHIN, |line| {
        if !line.starts_with("yes") {
            lacking.push(line.to_owned());
        }
    });
    if !lacking.is_empty() {
        println!("this machine's sandboxes lack:\n{}", lacking.join("\n"));
    }
    if let Err(why) = checked {
        println!("no sandbox can run on this machine: {why:#}");
        println!("going on without a sandbox host, as with --no-sandbox");
        return Ok(None);
    }
    println!("starting the sandbox host");
    let id = host_id(api, data)?;
    let daemon = Daemon::sandbox(workspace, program, data, api.url())?;
    Ok(Some((daemon, id)))
}

/// Whether the host takes sandboxes.
pub(crate) fn is_online(api: &Api, id: SandboxHostId) -> Result<bool> {
    let host: SandboxHost = api.get(&format!("/api/v1/sandbox-hosts/{id}"))?;
    Ok(host.state != SandboxHostState::Offline && host.info.is_some())
}

/// The host's id; it is registered on the first run, and again if someone deleted it
/// since.
fn host_id(api: &Api, data: &Data) -> Result<SandboxHostId> {
    let id_file = data.sandbox().join("id");
    let credential_file = data.sandbox().join("credential");
    let known = fs::read_to_string(&id_file)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if let Some(id) = known
        && credential_file.exists()
        && api
            .get::<Vec<SandboxHost>>("/api/v1/sandbox-hosts")?
            .iter()
            .any(|host| host.id == id)
    {
        return Ok(id);
    }
    let request = CreateSandboxHostRequest {
        name: "this machine".to_owned(),
    };
    let created: CreatedSandboxHost = api.post("/api/v1/sandbox-hosts", &request)?;
    write_private(&credential_file, &created.credential)?;
    write_private(&id_file, &created.id.to_string())?;
    Ok(created.id)
}
