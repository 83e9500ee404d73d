//! One turn: the model is asked, and its tools are carried out, until it is done.

mod calls;

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
    model::{Answer, Failure, Piece},
    pictures::{self, Picture},
    servers::{Gathered, Theirs, Told},
    session::Session,
    tools,
};

/// Requests to the model in one turn.
const ROUNDS: usize = 200;

type Connection = ConnectionTo<Client>;

/// What came of a tool, for the model.
type Done = Result<Told, String>;

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

fn instructions(session: &Session, theirs: &Gathered) -> String {
    let own = format!(
        "You are Helix, an agent that works on a computer of its own: a sandbox with Linux, where \
         you may do whatever the task needs. The working directory is {}. Use the tools to do the \
         task, look at what came of it, and say shortly what you did. Do not ask for leave in \
         words: the tools ask by themselves.",
        session.directory.display()
    );
    let theirs = theirs.instructions.iter().map(String::as_str);
    let all: Vec<_> = std::iter::once(own.as_str()).chain(theirs).collect();
    all.join("\n\n")
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
        let theirs = self.session.servers.gather(&self.session.directory).await;
        for why in &theirs.missing {
            self.piece(Piece::Thought(format!("{why}\n")));
        }
        if said.first().is_some_and(|first| first["role"] != "system") {
            let own = instructions(self.session, &theirs);
            said.insert(0, json!({"role": "system", "content": own}));
        }
        let mut offered = tools::offered(self.assistant.memory.has_shell());
        offered.extend(theirs.tools.iter().map(Theirs::offered));
        for round in 0..ROUNDS {
            let answer = self.answer(said, &offered).await.map_err(failed)?;
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
            let mut seen: Vec<Picture> = Vec::new();
            for (number, call) in answer.calls.iter().enumerate() {
                let id = format!("{}-{round}-{number}-{}", said.len(), call.id);
                let theirs = theirs.tools.iter().find(|tool| tool.name == call.name);
                let done = match theirs {
                    Some(tool) => self.their_tool(&id, call, tool).await?,
                    None => self.tool(&id, call).await?,
                };
                let content = match done {
                    Ok(told) => {
                        seen.extend(told.pictures);
                        told.text
                    }
                    Err(why) => format!("Error: {why}"),
                };
                said.push(json!({"role": "tool", "tool_call_id": call.id, "content": content}));
            }
            if !seen.is_empty() {
                said.push(pictures::shown(&seen));
                pictures::bound(said);
            }
        }
        Ok(StopReason::MaxTurnRequests)
    }

    /// What the model answers. One that takes no pictures is told so, and asked without them.
    async fn answer(&self, said: &mut Vec<Value>, offered: &[Value]) -> Result<Answer, String> {
        let model = &self.assistant.model;
        let asked = model.ask(said, offered, |piece| self.piece(piece)).await;
        let Failure { why, refused } = match asked {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        if refused && let Some(without) = pictures::without(said, &why) {
            let again = model
                .ask(&without, offered, |piece| self.piece(piece))
                .await;
            if let Ok(answer) = again {
                *said = without;
                return Ok(answer);
            }
        }
        Err(why)
    }

    fn piece(&self, piece: Piece) {
        let (kind, text) = match piece {
            Piece::Text(text) => ("agent_message_chunk", text),
            Piece::Thought(text) => ("agent_thought_chunk", text),
        };
        // A connection that broke is seen by what waits for an answer.
        drop(self.update(json!({
            "sessionUpdate": kind,
            "content": {"type": "text", "text": text},
        })));
    }

    #[expect(clippy::needless_pass_by_value, reason = "made for this")]
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
