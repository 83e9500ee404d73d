//! Programs that the control plane itself runs inside a sandbox, as its user.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use helix_proto::{
    SandboxId,
    sandbox::guest::{Environment, ExecEvent, ExecEventKind, ExecExit, Output},
};
use http::Method;
use serde_json::json;

use super::Client;
use crate::machines::{Error, Role, calls::SOON};

/// What is kept of what a program writes to its error output: the end of it.
const MOST_ERRORS: usize = 32 << 10;
/// How much longer than the program may run the whole may take.
const GRACE: Duration = Duration::from_secs(15);

/// A program to run. What it is told never goes through a shell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Variables besides the sandbox's own.
    pub(crate) env: BTreeMap<String, String>,
    /// Where it starts; the user's home if absent.
    pub(crate) cwd: Option<String>,
    /// Its input.
    pub(crate) stdin: String,
    /// How long it may run.
    pub(crate) timeout: Duration,
    /// How many bytes of its output are wanted; it is killed when it writes more.
    pub(crate) most: usize,
}

/// What a program did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ended {
    /// Its exit code; absent where a signal or the bound of its output ended it.
    pub(crate) code: Option<i32>,
    /// Whether it ran for too long.
    pub(crate) timed_out: bool,
    /// What it wrote to its output.
    pub(crate) stdout: Vec<u8>,
    /// Whether that is not all.
    pub(crate) truncated: bool,
    /// The end of what it wrote to its error output.
    pub(crate) stderr: String,
}

impl Client {
    /// Runs a program to its end. `heard` is told what it writes to its error output, as
    /// it comes. Dropping the future kills the program.
    ///
    /// # Errors
    /// When the host cannot be asked, or the sandbox does not start the program.
    pub(crate) async fn run(
        &self,
        id: SandboxId,
        program: Program,
        mut heard: impl FnMut(&str),
    ) -> Result<Ended, Error> {
        let Program {
            command,
            env,
            cwd,
            stdin,
            timeout,
            most,
        } = program;
        let whole = timeout + GRACE;
        let request = json!({
            "command": command, "env": env, "cwd": cwd, "stdin": stdin, "stream": true,
            "timeout_ms": u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        });
        let run = async {
            let path = format!("sandboxes/{id}/guest/exec");
            let mut lines = self.calls().lines(&path, &request).await?;
            let mut ended = Ended::default();
            while let Some(event) = lines.next::<ExecEvent>().await? {
                match event.what {
                    ExecEventKind::Stdout(output) => {
                        ended.stdout.extend_from_slice(&bytes(output));
                        if ended.stdout.len() > most {
                            ended.stdout.truncate(most);
                            ended.truncated = true;
                            return Ok(ended);
                        }
                    }
                    ExecEventKind::Stderr(output) => {
                        let said = String::from_utf8_lossy(&bytes(output)).into_owned();
                        heard(&said);
                        ended.stderr.push_str(&said);
                        keep_end(&mut ended.stderr, MOST_ERRORS);
                    }
                    ExecEventKind::Exit(ExecExit {
                        code, timed_out, ..
                    }) => {
                        ended.code = code;
                        ended.timed_out = timed_out;
                        return Ok(ended);
                    }
                    ExecEventKind::Started(_) | ExecEventKind::Dropped(_) => {}
                }
            }
            let why = "the program's output ended before the program".to_owned();
            Err(Error::Answer(Role::SandboxHost, why))
        };
        let late = || {
            let why = format!("a program did not end within {} s", whole.as_secs());
            Err(Error::Lost(Role::SandboxHost, why))
        };
        tokio::time::timeout(whole, run)
            .await
            .unwrap_or_else(|_| late())
    }

    /// Gives a sandbox variables, for every program that starts in it from now on.
    ///
    /// # Errors
    /// When the host cannot be asked, or the sandbox does not run.
    pub(super) async fn give(&self, id: SandboxId, given: &Environment) -> Result<(), Error> {
        let path = format!("sandboxes/{id}/guest/environment");
        self.calls().told(Method::PUT, &path, given, SOON).await
    }
}

/// What was written. What is not base64 where it should be is nothing.
fn bytes(output: Output) -> Vec<u8> {
    match output {
        Output::Text(text) => text.into_bytes(),
        Output::Base64(text) => BASE64_STANDARD.decode(text).unwrap_or_default(),
    }
}

fn keep_end(text: &mut String, most: usize) {
    if text.len() > most {
        let from = text.ceil_char_boundary(text.len() - most);
        text.drain(..from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_text_the_end_is_kept() {
        let mut text = "aäb".repeat(3);
        keep_end(&mut text, 3);
        assert_eq!(text, "äb");
        let mut short = "ä".to_owned();
        keep_end(&mut short, 3);
        assert_eq!(short, "ä");
    }
}
