//! What is done in a sandbox before its agent runs: its directory, and what is installed.

use std::{collections::BTreeMap, time::Duration};

use helix_isolation::GuestClient;
use helix_proto::{
    agents::AgentSpec,
    sandbox::guest::{Exec, ExecRequest, ExecResult, Output},
};

/// How long one line of an installation may take.
const INSTALL: Duration = Duration::from_secs(9 * 60);

/// How much of what a program said stands in a reason.
const SAID: usize = 2_000;

/// Where programs that a user installs are found.
const WITH_PATH: &str =
    "PATH=\"$HOME/.local/bin:$HOME/.local/share/npm/bin:$PATH:/run/helix\"; export PATH; ";

/// Makes the agent's directory, and answers its absolute path.
///
/// # Errors
///
/// Why it cannot be.
pub(super) async fn directory(guest: &GuestClient, directory: &str) -> Result<String, String> {
    let script = "mkdir -p -- \"$1\" && cd -- \"$1\" && pwd -P";
    let wanted = if directory.is_empty() { "." } else { directory };
    let command = ["sh", "-c", script, "sh", wanted].map(str::to_owned);
    let result = guest.exec(&request(command.into(), None)).await;
    let result = result.map_err(|error| error.to_string())?;
    if result.exit.code != Some(0) {
        let said = said(&result);
        return Err(format!(
            "the agent's directory {wanted} cannot be used: {said}"
        ));
    }
    Ok(text(&result.stdout).trim_end_matches('\n').to_owned())
}

/// Whether the agent's program is there.
///
/// # Errors
///
/// Why nobody can say.
pub(super) async fn is_there(
    guest: &GuestClient,
    spec: &AgentSpec,
    directory: &str,
) -> Result<bool, String> {
    let Some(program) = spec.command.first() else {
        return Ok(false);
    };
    let script = format!("{WITH_PATH}command -v -- \"$1\"");
    let command = ["sh", "-c", &script, "sh", program].map(str::to_owned);
    let mut look = request(command.into(), Some(directory.to_owned()));
    look.env = environment(spec);
    let found = guest.exec(&look).await.map_err(|error| error.to_string())?;
    Ok(found.exit.code == Some(0))
}

/// Runs one line of an installation.
///
/// # Errors
///
/// What it said.
pub(super) async fn install(
    guest: &GuestClient,
    spec: &AgentSpec,
    line: &str,
) -> Result<(), String> {
    let command = ["sh", "-c", &format!("{WITH_PATH}{line}")].map(str::to_owned);
    let mut install = request(command.into(), None);
    install.env = environment(spec);
    install.timeout_ms = u64::try_from(INSTALL.as_millis()).ok();
    let guest = guest
        .clone()
        .with_patience(INSTALL + Duration::from_secs(10));
    let result = guest
        .exec(&install)
        .await
        .map_err(|error| error.to_string())?;
    if result.exit.timed_out {
        return Err(format!(
            "{line:?} took longer than {} min",
            INSTALL.as_secs() / 60
        ));
    }
    match result.exit.code {
        Some(0) => Ok(()),
        Some(127) => Err(format!(
            "{line:?} failed: {}: this sandbox lacks what installs the agent: use an image that has it, or the agent",
            said(&result)
        )),
        _ => Err(format!("{line:?} failed: {}", said(&result))),
    }
}

/// Starts the agent.
///
/// # Errors
///
/// Why it cannot be.
pub(super) async fn start(
    guest: &GuestClient,
    spec: &AgentSpec,
    directory: &str,
) -> Result<Exec, String> {
    let script = format!("{WITH_PATH}exec \"$@\"");
    let mut command: Vec<_> = ["sh", "-c", &script, "agent"].map(str::to_owned).into();
    command.extend(spec.command.iter().cloned());
    let mut start = request(command, Some(directory.to_owned()));
    start.env = environment(spec);
    start.background = true;
    start.waits = true;
    guest.begin(&start).await.map_err(|error| error.to_string())
}

/// The command line of a program that an agent names; a program without arguments may be a
/// whole line for a shell.
pub(super) fn program(command: String, arguments: Vec<String>) -> Vec<String> {
    let is_line = arguments.is_empty()
        && command.contains(|c: char| !c.is_alphanumeric() && !"/._-+".contains(c));
    if is_line {
        return [
            "sh".to_owned(),
            "-c".to_owned(),
            format!("{WITH_PATH}{command}"),
        ]
        .into();
    }
    let script = format!("{WITH_PATH}exec \"$@\"");
    let mut line: Vec<_> = ["sh", "-c", &script, "sh"].map(str::to_owned).into();
    line.push(command);
    line.extend(arguments);
    line
}

fn environment(spec: &AgentSpec) -> BTreeMap<String, String> {
    let variables = spec.environment.iter();
    variables
        .map(|variable| (variable.name.clone(), variable.value.clone()))
        .collect()
}

/// A program of the sandbox's unprivileged user.
pub(super) fn request(command: Vec<String>, cwd: Option<String>) -> ExecRequest {
    ExecRequest {
        command,
        env: BTreeMap::new(),
        cwd,
        user: None,
        stdin: None,
        timeout_ms: None,
        stream: false,
        background: false,
        waits: false,
    }
}

/// The end of what a program said.
fn said(result: &ExecResult) -> String {
    let all = format!("{}{}", text(&result.stdout), text(&result.stderr));
    let all = all.trim();
    let from = all.ceil_char_boundary(all.len().saturating_sub(SAID));
    all[from..].to_owned()
}

pub(super) fn text(output: &Output) -> &str {
    match output {
        Output::Text(text) | Output::Base64(text) => text,
    }
}
