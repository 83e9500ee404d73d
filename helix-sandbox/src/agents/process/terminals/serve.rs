//! Serving one request.

use std::sync::Arc;

use helix_isolation::GuestClient;
use helix_proto::sandbox::guest::{ExecExit, USER};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use super::Output;
use crate::agents::{
    acp::{Calls, NewTerminal},
    notes::Terminal,
    prepare,
};

/// What stands for something else in the query of a route.
const IN_QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'?');

/// The mode of a file that is new.
const MODE: u32 = 0o644;

/// Bytes of a terminal's output that an agent gets at most, and unless it says otherwise.
const MOST_OUTPUT: usize = 1 << 20;

/// What serving needs.
pub(super) struct Serving {
    pub(super) guest: Result<GuestClient, String>,
    pub(super) directory: String,
    /// The terminal that it is about.
    pub(super) output: Option<Arc<Output>>,
}

type Served = (Option<(String, Terminal)>, Result<Value, String>);

impl Serving {
    pub(super) async fn serve(self, what: Calls) -> Served {
        match what {
            Calls::Create(wanted) => match self.create(*wanted).await {
                Ok((name, terminal)) => {
                    let answer = json!({"terminalId": name});
                    (Some((name, terminal)), Ok(answer))
                }
                Err(why) => (None, Err(why)),
            },
            Calls::Read { path, line, limit } => (None, self.read(&path, line, limit).await),
            Calls::Write { path, content } => (None, self.write(&path, content).await),
            Calls::Output { .. } => (None, self.output()),
            Calls::Wait { .. } => (None, self.wait().await),
            Calls::Kill { terminal } | Calls::Release { terminal } => {
                (None, self.kill(&terminal).await)
            }
        }
    }

    /// As the sandbox's routes want it.
    fn path(&self, path: &str) -> String {
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{}/{path}", self.directory.trim_end_matches('/'))
        };
        utf8_percent_encode(&path, IN_QUERY).to_string()
    }

    async fn read(
        &self,
        path: &str,
        line: Option<u32>,
        limit: Option<u32>,
    ) -> Result<Value, String> {
        let guest = self.guest.as_ref().map_err(String::clone)?;
        let bytes = guest.read(USER, &self.path(path)).await;
        let bytes = bytes.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&bytes);
        if line.is_none() && limit.is_none() {
            return Ok(json!({"content": text}));
        }
        // Lines count from one.
        let skipped = line.unwrap_or(1).saturating_sub(1) as usize;
        let taken = limit.map_or(usize::MAX, |limit| limit as usize);
        let lines = text.split_inclusive('\n').skip(skipped).take(taken);
        Ok(json!({"content": lines.collect::<String>()}))
    }

    async fn write(&self, path: &str, content: String) -> Result<Value, String> {
        let guest = self.guest.as_ref().map_err(String::clone)?;
        let written = guest
            .write(USER, &self.path(path), MODE, content.into())
            .await;
        written
            .map(|()| Value::Null)
            .map_err(|error| error.to_string())
    }

    async fn create(&self, wanted: NewTerminal) -> Result<(String, Terminal), String> {
        let guest = self.guest.as_ref().map_err(String::clone)?;
        let directory = wanted.directory.unwrap_or_else(|| self.directory.clone());
        let command = prepare::program(wanted.command, wanted.arguments);
        let mut request = prepare::request(command, Some(directory));
        request.env = wanted.environment.into_iter().collect();
        request.background = true;
        let exec = guest
            .begin(&request)
            .await
            .map_err(|error| error.to_string())?;
        let limit = wanted.limit.and_then(|limit| usize::try_from(limit).ok());
        let terminal = Terminal {
            exec: exec.id,
            limit: limit.unwrap_or(MOST_OUTPUT).min(MOST_OUTPUT),
            told: 0,
            shown: 0,
            omitted: 0,
            ended: false,
        };
        Ok((exec.id.to_string(), terminal))
    }

    fn known(&self) -> Result<&Arc<Output>, String> {
        let none = || "there is no such terminal, or it was released".to_owned();
        self.output.as_ref().ok_or_else(none)
    }

    fn output(&self) -> Result<Value, String> {
        let output = self.known()?;
        let (text, truncated) = output.written();
        let exit = output.exit.borrow().map(exit_status);
        Ok(json!({"output": text, "truncated": truncated, "exitStatus": exit}))
    }

    async fn wait(&self) -> Result<Value, String> {
        let mut exit = self.known()?.exit.subscribe();
        let exit = exit.wait_for(Option::is_some).await;
        let exit = exit.map_err(|_| "the terminal is gone".to_owned())?;
        Ok(exit.map_or(Value::Null, exit_status))
    }

    async fn kill(&self, terminal: &str) -> Result<Value, String> {
        self.known()?;
        let guest = self.guest.as_ref().map_err(String::clone)?;
        let exec = terminal
            .parse()
            .map_err(|_| "there is no such terminal".to_owned())?;
        let killed = guest.kill(exec).await;
        killed
            .map(|()| json!({}))
            .map_err(|error| error.to_string())
    }
}

fn exit_status(exit: ExecExit) -> Value {
    json!({"exitCode": exit.code, "signal": exit.signal.map(|signal| signal.to_string())})
}
