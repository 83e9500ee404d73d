//! The same agent on a plain pipe of this machine, without anything in between: what is the least.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{AGENT, lateness, now_ns};

/// Milliseconds from the agent's write until each message was read. Blocks.
pub(crate) fn measure(plan: &Value) -> Result<Vec<f64>> {
    let mut agent = Command::new("python3")
        .args(["-c", AGENT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting python3")?;
    let prompt = [json!({ "type": "text", "text": plan.to_string() })];
    let request = json!({ "id": 1, "method": "session/prompt", "params": { "prompt": prompt } });
    let mut input = agent.stdin.take().context("no input")?;
    writeln!(input, "{request}").context("asking the agent")?;
    let mut output = BufReader::new(agent.stdout.take().context("no output")?);
    let (mut late_ms, mut line) = (Vec::new(), String::new());
    while output.read_line(&mut line).context("reading the agent")? > 0 {
        let arrived = now_ns();
        let message: Value = serde_json::from_str(&line)?;
        if message["id"] == 1 {
            break;
        }
        let text = message["params"]["update"]["content"]["text"].as_str();
        let text = text.context("no text")?;
        if !text.starts_with("read ") {
            late_ms.extend(lateness(text, arrived));
        }
        line.clear();
    }
    drop(input);
    agent.wait().context("waiting for the agent")?;
    Ok(late_ms)
}
