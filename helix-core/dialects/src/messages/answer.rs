//! Tells an answer as a message, or as the events that make it up.

use serde_json::{Map, Value, json};

use super::{Request, error};
use crate::{
    Dialect, Event,
    chat::{Failure, Piece, Stop, Usage},
};

/// A block that is being told.
#[derive(Debug)]
enum Open {
    Thinking(String),
    Text(String),
    Call {
        id: String,
        name: String,
        arguments: String,
    },
}

/// A message that is being told.
#[derive(Debug)]
pub struct Answer {
    id: String,
    model: String,
    thinking: bool,
    /// Blocks that are complete.
    blocks: Vec<Result<Value, Failure>>,
    open: Option<Open>,
    stop: (Value, Value),
    usage: Usage,
}

fn event(name: &'static str, mut data: Value) -> Event {
    data["type"] = name.into();
    Event { name, data }
}

fn cost(usage: Usage) -> Value {
    json!({
        // Cached ones are counted apart in this API.
        "input_tokens": usage.prompt.saturating_sub(usage.cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    })
}

fn block(open: Open) -> Result<Value, Failure> {
    match open {
        // Nothing signs it: who gets it back only reads it.
        Open::Thinking(text) => Ok(json!({"type": "thinking", "thinking": text, "signature": ""})),
        Open::Text(text) => Ok(json!({"type": "text", "text": text})),
        Open::Call {
            id,
            name,
            arguments,
        } => {
            let input: Map<String, Value> = serde_json::from_str(&arguments).map_err(|error| {
                Failure::new(format!(
                    "the model called `{name}` with arguments that are no JSON object: {error}"
                ))
            })?;
            Ok(json!({"type": "tool_use", "id": id, "name": name, "input": input}))
        }
    }
}

impl Answer {
    /// Nothing came yet. `seed` tells this answer from all others.
    pub fn new(request: &Request, seed: &str) -> Self {
        Self {
            id: format!("msg_{seed}"),
            model: request.model().to_owned(),
            thinking: request.thinking(),
            blocks: Vec::new(),
            open: None,
            stop: (Value::Null, Value::Null),
            usage: Usage::default(),
        }
    }

    fn message(&self, content: &Value) -> Value {
        let (reason, sequence) = &self.stop;
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": sequence,
            "usage": cost(self.usage),
        })
    }

    fn begin_block(&mut self, open: Open, block: &Value, events: &mut Vec<Event>) {
        self.close(events);
        let data = json!({"index": self.blocks.len(), "content_block": block});
        events.push(event("content_block_start", data));
        self.open = Some(open);
    }

    fn delta(&self, delta: &Value, events: &mut Vec<Event>) {
        let data = json!({"index": self.blocks.len(), "delta": delta});
        events.push(event("content_block_delta", data));
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        if let Some(open) = self.open.take() {
            let data = json!({"index": self.blocks.len()});
            events.push(event("content_block_stop", data));
            self.blocks.push(block(open));
        }
    }

    fn say(&mut self, more: &str, events: &mut Vec<Event>) {
        if !matches!(self.open, Some(Open::Text(_))) {
            let block = json!({"type": "text", "text": ""});
            self.begin_block(Open::Text(String::new()), &block, events);
        }
        if let Some(Open::Text(text)) = &mut self.open {
            text.push_str(more);
        }
        self.delta(&json!({"type": "text_delta", "text": more}), events);
    }

    fn think(&mut self, more: &str, events: &mut Vec<Event>) {
        if !self.thinking {
            return;
        }
        if !matches!(self.open, Some(Open::Thinking(_))) {
            let block = json!({"type": "thinking", "thinking": "", "signature": ""});
            self.begin_block(Open::Thinking(String::new()), &block, events);
        }
        if let Some(Open::Thinking(text)) = &mut self.open {
            text.push_str(more);
        }
        let delta = json!({"type": "thinking_delta", "thinking": more});
        self.delta(&delta, events);
    }

    fn end(&mut self, stop: Stop, usage: Usage, events: &mut Vec<Event>) {
        self.close(events);
        self.usage = usage;
        self.stop = match stop {
            Stop::End => ("end_turn".into(), Value::Null),
            Stop::Sequence(sequence) => ("stop_sequence".into(), sequence.into()),
            Stop::Length => ("max_tokens".into(), Value::Null),
            Stop::Calls => ("tool_use".into(), Value::Null),
            Stop::Filtered => ("refusal".into(), Value::Null),
        };
        let (reason, sequence) = &self.stop;
        let delta = json!({"stop_reason": reason, "stop_sequence": sequence});
        let data = json!({"delta": delta, "usage": cost(usage)});
        events.push(event("message_delta", data));
        events.push(event("message_stop", json!({})));
    }
}

impl Dialect for Answer {
    fn begin(&mut self) -> Vec<Event> {
        let message = self.message(&json!([]));
        vec![
            event("message_start", json!({"message": message})),
            event("ping", json!({})),
        ]
    }

    fn piece(&mut self, piece: Piece) -> Vec<Event> {
        let mut events = Vec::new();
        match piece {
            Piece::Reasoning(more) => self.think(&more, &mut events),
            Piece::Text(more) | Piece::Refusal(more) => self.say(&more, &mut events),
            Piece::Call { id, name } => {
                let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                let arguments = String::new();
                let open = Open::Call {
                    id,
                    name,
                    arguments,
                };
                self.begin_block(open, &block, &mut events);
            }
            Piece::Arguments(more) => {
                if let Some(Open::Call { arguments, .. }) = &mut self.open {
                    arguments.push_str(&more);
                }
                let delta = json!({"type": "input_json_delta", "partial_json": more});
                self.delta(&delta, &mut events);
            }
            Piece::Called => self.close(&mut events),
            Piece::End { stop, usage } => self.end(stop, usage, &mut events),
            Piece::Failed(failure) => events.push(Event {
                name: "error",
                data: error("api_error", &failure.message),
            }),
        }
        events
    }

    fn idle(&self) -> Option<Event> {
        Some(event("ping", json!({})))
    }

    fn whole(&self) -> Result<Value, Failure> {
        let blocks: Result<Vec<Value>, Failure> = self.blocks.iter().cloned().collect();
        Ok(self.message(&blocks?.into()))
    }
}
