//! Carrying out what the model calls, seen by whoever follows.

use agent_client_protocol::{Error as AcpError, UntypedMessage};
use serde_json::{Map, Value, json};

use super::{Done, Turn};
use crate::assistant::{
    failed,
    model::ToolCall,
    pictures::Picture,
    servers::{Theirs, Told},
    tools::{self, Change, Tool},
};

impl Turn<'_> {
    /// Carries out one call, seen by whoever follows.
    pub(super) async fn tool(&self, id: &str, call: &ToolCall) -> Result<Done, AcpError> {
        let tool = match Tool::read(&call.name, &call.arguments, &self.session.directory) {
            Ok(tool) => tool,
            Err(why) => return Ok(Err(why)),
        };
        let (title, kind, path) = tool.shown();
        let locations: Vec<Value> = path.iter().map(|path| json!({"path": path})).collect();
        let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        self.update(json!({
            "sessionUpdate": "tool_call", "toolCallId": id, "title": title, "kind": kind,
            "status": "pending", "locations": locations, "rawInput": input,
        }))?;
        let change = tool.change();
        let done = match change {
            Err(why) => Err(why),
            Ok(change) => {
                let diff: Vec<Value> = change.iter().map(diff).collect();
                if tool.is_harmless() || self.allowed(id, call, &title, kind, &diff).await? {
                    self.carry_out(id, tool, change).await?
                } else {
                    Err("this was not allowed".to_owned())
                }
            }
        };
        let content = match &done {
            Ok(_) => None,
            Err(why) => Some(vec![said(why)]),
        };
        self.is_done(id, done, content)
    }

    /// The same of a server's tool.
    pub(super) async fn their_tool(
        &self,
        id: &str,
        call: &ToolCall,
        tool: &Theirs,
    ) -> Result<Done, AcpError> {
        let arguments = match serde_json::from_str::<Map<String, Value>>(&call.arguments) {
            Ok(arguments) => arguments,
            // What takes nothing is called with nothing by some models.
            Err(_) if call.arguments.trim().is_empty() => Map::new(),
            Err(error) => return Ok(Err(format!("the arguments are no JSON object: {error}"))),
        };
        let title = tool.shown(&arguments);
        let kind = if tool.harmless { "read" } else { "other" };
        self.update(json!({
            "sessionUpdate": "tool_call", "toolCallId": id, "title": title, "kind": kind,
            "status": "pending", "rawInput": arguments,
        }))?;
        if !tool.harmless && !self.allowed(id, call, &title, kind, &[]).await? {
            let why = "this was not allowed".to_owned();
            let content = vec![said(&why)];
            return self.is_done(id, Err(why), Some(content));
        }
        self.update(json!({
            "sessionUpdate": "tool_call_update", "toolCallId": id, "status": "in_progress",
        }))?;
        let done = tool.call(arguments).await;
        let content = match &done {
            Err(why) => vec![said(why)],
            Ok(told) if told.pictures.is_empty() => vec![said(&told.text)],
            Ok(told) => told.pictures.iter().map(seen).collect(),
        };
        self.is_done(id, done, Some(content))
    }

    /// Says how a call ended.
    fn is_done(&self, id: &str, done: Done, content: Option<Vec<Value>>) -> Result<Done, AcpError> {
        let status = if done.is_ok() { "completed" } else { "failed" };
        let mut update =
            json!({"sessionUpdate": "tool_call_update", "toolCallId": id, "status": status});
        if let Some(content) = content {
            update["content"] = content.into();
        }
        self.update(update)?;
        Ok(done)
    }

    async fn allowed(
        &self,
        id: &str,
        call: &ToolCall,
        title: &str,
        kind: &str,
        diff: &[Value],
    ) -> Result<bool, AcpError> {
        if self.session.may(&call.name) {
            return Ok(true);
        }
        let asked = json!({
            "toolCall": {"toolCallId": id, "title": title, "kind": kind, "content": diff},
            "options": [
                {"optionId": "once", "name": "Allow", "kind": "allow_once"},
                {"optionId": "always", "name": format!("Always allow {}", call.name), "kind": "allow_always"},
                {"optionId": "reject", "name": "Reject", "kind": "reject_once"},
            ],
        });
        let answer = self.ask("session/request_permission", asked).await?;
        let option = answer.pointer("/outcome/optionId").and_then(Value::as_str);
        if option == Some("always") {
            self.session.allow(&call.name);
        }
        Ok(matches!(option, Some("once" | "always")))
    }

    async fn carry_out(
        &self,
        id: &str,
        tool: Tool,
        change: Option<Change>,
    ) -> Result<Done, AcpError> {
        if let Tool::Shell { command } = tool {
            return self.shell(id, &command).await;
        }
        self.update(json!({
            "sessionUpdate": "tool_call_update", "toolCallId": id, "status": "in_progress",
        }))?;
        let content: Vec<Value> = change.iter().map(diff).collect();
        let done = tokio::task::spawn_blocking(move || match (tool, change) {
            (_, Some(change)) => change.make().map(|()| "It is written.".to_owned()),
            (Tool::Read { path, line, limit }, None) => tools::lines(&path, line, limit),
            (_, None) => Err("there is nothing to do".to_owned()),
        });
        let done = done.await.map_err(|error| failed(error.to_string()))?;
        if done.is_ok() && !content.is_empty() {
            self.update(json!({
                "sessionUpdate": "tool_call_update", "toolCallId": id, "content": content,
            }))?;
        }
        Ok(done.map(plain))
    }

    async fn shell(&self, id: &str, command: &str) -> Result<Done, AcpError> {
        let created = self
            .ask(
                "terminal/create",
                json!({
                    "command": "sh", "args": ["-c", command], "cwd": self.session.directory,
                }),
            )
            .await;
        let terminal = match created {
            Ok(created) => created["terminalId"].clone(),
            Err(error) => return Ok(Err(error.to_string())),
        };
        // Where the turn is cut short, the program is not left behind.
        let mut running = Running {
            turn: self,
            terminal: Some(terminal.clone()),
        };
        self.update(json!({
            "sessionUpdate": "tool_call_update", "toolCallId": id, "status": "in_progress",
            "content": [{"type": "terminal", "terminalId": terminal}],
        }))?;
        let exit = self
            .ask("terminal/wait_for_exit", json!({"terminalId": terminal}))
            .await?;
        let output = self
            .ask("terminal/output", json!({"terminalId": terminal}))
            .await?;
        running.terminal = None;
        drop(running);
        self.ask("terminal/release", json!({"terminalId": terminal}))
            .await?;
        let text = output["output"].as_str().unwrap_or_default();
        let code = exit["exitCode"].as_i64();
        let how = code.map_or_else(
            || "it was ended by a signal".to_owned(),
            |code| format!("exit code {code}"),
        );
        Ok(Ok(plain(format!("{}\n({how})", tools::given(text)))))
    }
}

/// A program that is ended where its turn is.
struct Running<'a> {
    turn: &'a Turn<'a>,
    terminal: Option<Value>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Some(terminal) = self.terminal.take() else {
            return;
        };
        let params = json!({"sessionId": self.turn.session.id, "terminalId": terminal});
        if let Ok(kill) = UntypedMessage::new("terminal/release", params) {
            // Nobody waits for the answer.
            self.turn.cx.send_request(kill).detach();
        }
    }
}

fn diff(change: &Change) -> Value {
    json!({
        "type": "diff", "path": change.path, "oldText": change.before, "newText": change.after,
    })
}

fn plain(text: String) -> Told {
    let pictures = Vec::new();
    Told { text, pictures }
}

fn seen(picture: &Picture) -> Value {
    json!({"type": "content", "content": {
        "type": "image", "mimeType": picture.mime, "data": picture.data,
    }})
}

fn said(text: &str) -> Value {
    json!({"type": "content", "content": {"type": "text", "text": text}})
}
