//! One turn: the model is asked, and its tools are carried out, until it is done.

use std::sync::Arc;

use agent_client_protocol::{
    Client, Error as AcpError, UntypedMessage,
    v1::{
        ConnectionTo,
        schema::{ContentBlock, EmbeddedResourceResource, StopReason},
    },
};
use serde_json::{Value, json};

use super::{
    Assistant, failed,
    model::{Answer, Piece, ToolCall},
    session::Session,
    tools::{self, Change, Tool},
};

/// Requests to the model in one turn.
const ROUNDS: usize = 200;

type Connection = ConnectionTo<Client>;

/// What came of a tool, for the model.
type Done = Result<String, String>;

pub(super) async fn run(
    assistant: &Arc<Assistant>,
    session: &Arc<Session>,
    cx: &Connection,
    prompt: &[ContentBlock],
) -> Result<StopReason, AcpError> {
    let cancelled = session.cancelled();
    let Ok(mut said) = session.said.try_lock() else {
        return Err(failed("another turn of this session is in flight"));
    };
    if said.is_empty() {
        said.push(json!({"role": "system", "content": instructions(session)}));
    }
    said.push(json!({"role": "user", "content": asked(prompt)}));
    let turn = Turn {
        assistant,
        session,
        cx,
    };
    let ended = tokio::select! {
        biased;
        () = cancelled => Ok(StopReason::Cancelled),
        ended = turn.rounds(&mut said) => ended,
    };
    settle(&mut said);
    if let Err(why) = assistant.memory.write(&session.id, &said) {
        tracing::warn!(why, "a session is not kept");
    }
    ended
}

/// A call without an answer, of a turn that was cut short, would be refused by the model.
fn settle(said: &mut Vec<Value>) {
    let answered: Vec<Value> = said
        .iter()
        .filter_map(|message| message.get("tool_call_id").cloned())
        .collect();
    let calls: Vec<Value> = said
        .iter()
        .filter_map(|message| message.get("tool_calls")?.as_array())
        .flatten()
        .filter_map(|call| call.get("id").cloned())
        .filter(|id| !answered.contains(id))
        .collect();
    for id in calls {
        said.push(json!({"role": "tool", "tool_call_id": id, "content": "It was cancelled."}));
    }
}

fn instructions(session: &Session) -> String {
    format!(
        "You are Helix, an agent that works on a computer of its own: a sandbox with Linux, where \
         you may do whatever the task needs. The working directory is {}. Use the tools to do the \
         task, look at what came of it, and say shortly what you did. Do not ask for leave in \
         words: the tools ask by themselves.",
        session.directory.display()
    )
}

/// A prompt, as the model has it.
fn asked(prompt: &[ContentBlock]) -> Value {
    let parts: Vec<Value> = prompt
        .iter()
        .filter_map(|block| match block {
            ContentBlock::Text(text) => Some(json!({"type": "text", "text": text.text})),
            ContentBlock::Image(image) => {
                let url = format!("data:{};base64,{}", image.mime_type, image.data);
                Some(json!({"type": "image_url", "image_url": {"url": url}}))
            }
            ContentBlock::ResourceLink(link) => Some(json!({"type": "text", "text": link.uri})),
            ContentBlock::Resource(resource) => match &resource.resource {
                EmbeddedResourceResource::TextResourceContents(text) => {
                    let text = format!("{}:\n{}", text.uri, text.text);
                    Some(json!({"type": "text", "text": text}))
                }
                _ => None,
            },
            _ => None,
        })
        .collect();
    // Servers of small models know only text.
    match &parts[..] {
        [only] if only.get("text").is_some() => only["text"].clone(),
        _ => parts.into(),
    }
}

struct Turn<'a> {
    assistant: &'a Assistant,
    session: &'a Session,
    cx: &'a Connection,
}

impl Turn<'_> {
    async fn rounds(&self, said: &mut Vec<Value>) -> Result<StopReason, AcpError> {
        let offered = tools::offered(self.assistant.memory.has_shell());
        for round in 0..ROUNDS {
            let pieces = |piece| {
                let (kind, text) = match piece {
                    Piece::Text(text) => ("agent_message_chunk", text),
                    Piece::Thought(text) => ("agent_thought_chunk", text),
                };
                // A connection that broke is seen by what waits for an answer.
                drop(self.update(json!({
                    "sessionUpdate": kind,
                    "content": {"type": "text", "text": text},
                })));
            };
            let answer = self.assistant.model.ask(said, &offered, pieces).await;
            let answer = answer.map_err(failed)?;
            said.push(message(&answer));
            if let Some(tokens) = answer.tokens {
                tracing::debug!(tokens, "the model answered");
            }
            if answer.calls.is_empty() {
                return Ok(match answer.finish.as_deref() {
                    Some("length") => StopReason::MaxTokens,
                    Some("content_filter") => StopReason::Refusal,
                    _ => StopReason::EndTurn,
                });
            }
            for (number, call) in answer.calls.iter().enumerate() {
                let id = format!("{}-{round}-{number}-{}", said.len(), call.id);
                let content = match self.tool(&id, call).await? {
                    Ok(content) => content,
                    Err(why) => format!("Error: {why}"),
                };
                said.push(json!({"role": "tool", "tool_call_id": call.id, "content": content}));
            }
        }
        Ok(StopReason::MaxTurnRequests)
    }

    fn update(&self, update: Value) -> Result<(), AcpError> {
        let params = json!({"sessionId": self.session.id, "update": update});
        self.cx
            .send_notification(UntypedMessage::new("session/update", params)?)
    }

    async fn ask(&self, method: &str, mut params: Value) -> Result<Value, AcpError> {
        params["sessionId"] = self.session.id.clone().into();
        let request = UntypedMessage::new(method, params)?;
        self.cx.send_request(request).block_task().await
    }

    /// Carries out one call, seen by whoever follows.
    async fn tool(&self, id: &str, call: &ToolCall) -> Result<Done, AcpError> {
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
        let status = if done.is_ok() { "completed" } else { "failed" };
        let mut update =
            json!({"sessionUpdate": "tool_call_update", "toolCallId": id, "status": status});
        if let Err(why) = &done {
            update["content"] = json!([said(why)]);
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
        Ok(done)
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
        Ok(Ok(format!("{}\n({how})", tools::given(text))))
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

/// What the model said, as it is given it again.
fn message(answer: &Answer) -> Value {
    let mut message = json!({"role": "assistant", "content": answer.text});
    if !answer.calls.is_empty() {
        let calls = answer.calls.iter().map(|call| {
            json!({
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            })
        });
        message["tool_calls"] = calls.collect::<Vec<_>>().into();
    }
    message
}

fn diff(change: &Change) -> Value {
    json!({
        "type": "diff", "path": change.path, "oldText": change.before, "newText": change.after,
    })
}

fn said(text: &str) -> Value {
    json!({"type": "content", "content": {"type": "text", "text": text}})
}
