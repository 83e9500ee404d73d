//! Runs the load generator and reads what it says.

use std::{fmt, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::rig::{Rig, Target};
use crate::{process::output, workspace::Workspace};

/// What is asked, and by how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) stream: bool,
    pub(super) connections: u32,
}

impl Case {
    pub(super) const ALL: [Self; 4] = [
        Self {
            stream: false,
            connections: 1,
        },
        Self {
            stream: false,
            connections: 16,
        },
        Self {
            stream: true,
            connections: 1,
        },
        Self {
            stream: true,
            connections: 16,
        },
    ];
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.stream { "streamed" } else { "whole" };
        let plural = if self.connections == 1 { "" } else { "s" };
        write!(f, "{kind} answers, {} connection{plural}", self.connections)
    }
}

/// What the load generator measured.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Measured {
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) reason: Option<String>,
    pub(super) per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0}/s, p50 {:.0} µs, p99 {:.0} µs",
            self.per_second, self.p50_us, self.p99_us
        )
    }
}

/// Measures one case, after a short warm-up. A request that fails spoils it.
pub(super) fn measure(
    workspace: &Workspace,
    rig: &Rig,
    target: Target,
    case: Case,
    seconds: f64,
) -> Result<Measured> {
    let stream = if case.stream { r#""stream":true,"# } else { "" };
    let body = format!(
        r#"{{"model":"{}",{stream}"messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"Say something about a fox."}}]}}"#,
        rig.model(target)
    );
    ask(workspace, rig, target, case.connections, 0.5, &body)?;
    let measured = ask(workspace, rig, target, case.connections, seconds, &body)?;
    ensure!(
        measured.failed == 0 && measured.answered > 0,
        "{target:?} failed {} requests ({case}): {}",
        measured.failed,
        measured.reason.as_deref().unwrap_or("no answer at all")
    );
    Ok(measured)
}

/// Runs the load generator once.
pub(super) fn ask(
    workspace: &Workspace,
    rig: &Rig,
    target: Target,
    connections: u32,
    seconds: f64,
    body: &str,
) -> Result<Measured> {
    let mut command = workspace.command(rig.load());
    command
        .arg(rig.address(target))
        .arg("/v1/chat/completions")
        .arg(rig.key())
        .arg(connections.to_string())
        .arg(seconds.to_string())
        .arg(body);
    let text = output(workspace, &mut command, Duration::from_secs(300))?;
    serde_json::from_str(&text).with_context(|| format!("reading the load generator's {text:?}"))
}
