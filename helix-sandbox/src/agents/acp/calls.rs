//! What an agent wants of its sandbox: files and terminals.

use agent_client_protocol::v1::schema::{
    CreateTerminalRequest, KillTerminalRequest, ReadTextFileRequest, ReleaseTerminalRequest,
    TerminalOutputRequest, WaitForTerminalExitRequest, WriteTextFileRequest,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::rpc;

/// Internal error of JSON-RPC: what an agent hears of a call that failed.
const FAILED: i64 = -32_603;

/// A request of the agent's, to be answered once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    id: Value,
    pub(crate) what: Calls,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Calls {
    Read {
        path: String,
        line: Option<u32>,
        limit: Option<u32>,
    },
    Write {
        path: String,
        content: String,
    },
    Create(Box<NewTerminal>),
    Output {
        terminal: String,
    },
    Wait {
        terminal: String,
    },
    Kill {
        terminal: String,
    },
    Release {
        terminal: String,
    },
}

/// A program to run for the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NewTerminal {
    pub(crate) command: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directory: Option<String>,
    pub(crate) limit: Option<u64>,
}

impl Call {
    /// None for a method that is not one of these.
    pub(super) fn read(id: &Value, method: &str, params: Value) -> Option<Result<Self, String>> {
        let what = match method {
            "fs/read_text_file" => of(params, |asked: ReadTextFileRequest| Calls::Read {
                path: asked.path.to_string_lossy().into_owned(),
                line: asked.line,
                limit: asked.limit,
            }),
            "fs/write_text_file" => of(params, |asked: WriteTextFileRequest| Calls::Write {
                path: asked.path.to_string_lossy().into_owned(),
                content: asked.content,
            }),
            "terminal/create" => of(params, |asked: CreateTerminalRequest| {
                let environment = asked.env.into_iter();
                Calls::Create(Box::new(NewTerminal {
                    command: asked.command,
                    arguments: asked.args,
                    environment: environment.map(|pair| (pair.name, pair.value)).collect(),
                    directory: asked.cwd.map(|path| path.to_string_lossy().into_owned()),
                    limit: asked.output_byte_limit,
                }))
            }),
            "terminal/output" => of(params, |asked: TerminalOutputRequest| Calls::Output {
                terminal: asked.terminal_id.to_string(),
            }),
            "terminal/wait_for_exit" => {
                of(params, |asked: WaitForTerminalExitRequest| Calls::Wait {
                    terminal: asked.terminal_id.to_string(),
                })
            }
            "terminal/kill" => of(params, |asked: KillTerminalRequest| Calls::Kill {
                terminal: asked.terminal_id.to_string(),
            }),
            "terminal/release" => of(params, |asked: ReleaseTerminalRequest| Calls::Release {
                terminal: asked.terminal_id.to_string(),
            }),
            _ => return None,
        };
        Some(what.map(|what| Self {
            id: id.clone(),
            what,
        }))
    }

    /// The answer, as a line for the agent.
    pub(crate) fn answer(&self, answer: Result<Value, String>) -> String {
        match answer {
            Ok(result) => rpc::response(&self.id, &result),
            Err(why) => rpc::refusal(&self.id, FAILED, &why),
        }
    }
}

fn of<T: DeserializeOwned>(params: Value, call: impl FnOnce(T) -> Calls) -> Result<Calls, String> {
    let asked = serde_json::from_value(params).map_err(|error| error.to_string())?;
    Ok(call(asked))
}
