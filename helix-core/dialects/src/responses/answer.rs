//! Tells an answer as a response, or as the events that make it up.

use serde_json::{Map, Value, json};

use super::{
    Request,
    item::{Called, Open, Said, finished, input},
    tools::{Tool, Tools},
};
use crate::{
    Dialect, Event,
    chat::{Failure, Piece, Stop, Usage},
};

/// A response that is being told.
#[derive(Debug)]
pub struct Answer {
    /// What is the same in every state of the response.
    base: Map<String, Value>,
    tools: Tools,
    seed: String,
    sequence: u64,
    /// Items that are complete.
    output: Vec<Value>,
    open: Option<Open>,
    status: &'static str,
    incomplete: Value,
    error: Value,
    usage: Value,
}

/// What a response repeats of its request, and what it says where that is absent.
fn repeated(request: &Request) -> Map<String, Value> {
    let absent = [
        ("instructions", Value::Null),
        ("max_output_tokens", Value::Null),
        ("max_tool_calls", Value::Null),
        ("metadata", json!({})),
        ("parallel_tool_calls", true.into()),
        ("prompt_cache_key", Value::Null),
        ("reasoning", json!({"effort": null, "summary": null})),
        ("safety_identifier", Value::Null),
        ("temperature", Value::Null),
        ("text", json!({"format": {"type": "text"}})),
        ("tool_choice", "auto".into()),
        ("top_p", Value::Null),
        ("truncation", "disabled".into()),
        ("user", Value::Null),
    ];
    let said = absent.into_iter().map(|(name, absent)| {
        let sent = request.body.get(name).filter(|it| !it.is_null());
        (name.to_owned(), sent.cloned().unwrap_or(absent))
    });
    said.collect()
}

impl Answer {
    /// Nothing came yet. `seed` tells this answer from all others; `now_s` is the time, in seconds
    /// since the Unix epoch.
    pub fn new(request: &Request, seed: &str, now_s: u64) -> Self {
        let mut base = repeated(request);
        base.insert("id".into(), format!("resp_{seed}").into());
        base.insert("object".into(), "response".into());
        base.insert("created_at".into(), now_s.into());
        base.insert("model".into(), request.model().into());
        base.insert("tools".into(), request.tools.offered.clone().into());
        base.insert("background".into(), false.into());
        base.insert("previous_response_id".into(), Value::Null);
        base.insert("store".into(), false.into());
        Self {
            base,
            tools: request.tools.clone(),
            seed: seed.to_owned(),
            sequence: 0,
            output: Vec::new(),
            open: None,
            status: "in_progress",
            incomplete: Value::Null,
            error: Value::Null,
            usage: Value::Null,
        }
    }

    fn response(&self) -> Value {
        let mut response = self.base.clone();
        response.insert("status".into(), self.status.into());
        response.insert("incomplete_details".into(), self.incomplete.clone());
        response.insert("error".into(), self.error.clone());
        response.insert("output".into(), self.output.clone().into());
        response.insert("usage".into(), self.usage.clone());
        response.into()
    }

    fn event(&mut self, name: &'static str, mut data: Value, events: &mut Vec<Event>) {
        data["type"] = name.into();
        data["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        events.push(Event { name, data });
    }

    /// An event about the item that is being told.
    fn of_item(&mut self, name: &'static str, mut data: Value, events: &mut Vec<Event>) {
        data["output_index"] = self.output.len().into();
        data["item_id"] = self.item_id().into();
        self.event(name, data, events);
    }

    fn item_id(&self) -> String {
        let kind = self.open.as_ref().map_or("msg", Open::kind);
        format!("{kind}_{}_{}", self.seed, self.output.len())
    }

    /// The item that is being told, as far as it came.
    fn item(&self, status: &str) -> Value {
        let open = self.open.as_ref();
        open.map_or(Value::Null, |open| open.item(&self.item_id(), status))
    }

    /// Begins an item, behind the one before.
    fn begin_item(&mut self, open: Open, events: &mut Vec<Event>) {
        self.close("completed", events);
        self.open = Some(open);
        let data = json!({"output_index": self.output.len(), "item": self.item("in_progress")});
        self.event("response.output_item.added", data, events);
    }

    /// Ends the item that is being told.
    fn close(&mut self, status: &str, events: &mut Vec<Event>) {
        match &self.open {
            None => return,
            Some(Open::Reasoning(text)) => {
                let text = text.clone();
                let done = json!({"content_index": 0, "text": text});
                self.of_item("response.reasoning_text.done", done, events);
                let part = json!({"type": "reasoning_text", "text": text});
                let done = json!({"content_index": 0, "part": part});
                self.of_item("response.content_part.done", done, events);
            }
            Some(Open::Message { .. }) => self.close_part(events),
            Some(Open::Call { tool, arguments }) => {
                let (name, data) = if tool.custom {
                    let input = input(arguments);
                    let delta = json!({"delta": input});
                    let data = json!({"input": input});
                    self.of_item("response.custom_tool_call_input.delta", delta, events);
                    ("response.custom_tool_call_input.done", data)
                } else {
                    let data = json!({"arguments": arguments, "name": tool.name});
                    ("response.function_call_arguments.done", data)
                };
                self.of_item(name, data, events);
            }
        }
        let item = self.item(status);
        let data = json!({"output_index": self.output.len(), "item": item});
        self.event("response.output_item.done", data, events);
        self.open = None;
        self.output.push(item);
    }

    fn close_part(&mut self, events: &mut Vec<Event>) {
        let Some(Open::Message { parts, part }) = &mut self.open else {
            return;
        };
        let at = parts.len();
        let whole = finished(part);
        let (name, mut data) = match part {
            Said::Text(text) => (
                "response.output_text.done",
                json!({"text": text, "logprobs": []}),
            ),
            Said::Refusal(text) => ("response.refusal.done", json!({"refusal": text})),
        };
        parts.push(whole.clone());
        data["content_index"] = at.into();
        self.of_item(name, data, events);
        let done = json!({"content_index": at, "part": whole});
        self.of_item("response.content_part.done", done, events);
    }

    /// Begins a part of a message, and the message where there is none.
    fn begin_part(&mut self, part: Said, events: &mut Vec<Event>) {
        let empty = finished(&part);
        if matches!(self.open, Some(Open::Message { .. })) {
            self.close_part(events);
            if let Some(Open::Message { part: open, .. }) = &mut self.open {
                *open = part;
            }
        } else {
            let parts = Vec::new();
            self.begin_item(Open::Message { parts, part }, events);
        }
        let data = json!({"content_index": self.part_index(), "part": empty});
        self.of_item("response.content_part.added", data, events);
    }

    fn part_index(&self) -> usize {
        match &self.open {
            Some(Open::Message { parts, .. }) => parts.len(),
            _ => 0,
        }
    }

    fn say(&mut self, more: &str, events: &mut Vec<Event>) {
        if !matches!(
            &self.open,
            Some(Open::Message {
                part: Said::Text(_),
                ..
            })
        ) {
            self.begin_part(Said::Text(String::new()), events);
        }
        if let Some(Open::Message {
            part: Said::Text(text),
            ..
        }) = &mut self.open
        {
            text.push_str(more);
        }
        let data = json!({"content_index": self.part_index(), "delta": more, "logprobs": []});
        self.of_item("response.output_text.delta", data, events);
    }

    fn refuse(&mut self, more: &str, events: &mut Vec<Event>) {
        if !matches!(
            &self.open,
            Some(Open::Message {
                part: Said::Refusal(_),
                ..
            })
        ) {
            self.begin_part(Said::Refusal(String::new()), events);
        }
        if let Some(Open::Message {
            part: Said::Refusal(text),
            ..
        }) = &mut self.open
        {
            text.push_str(more);
        }
        let data = json!({"content_index": self.part_index(), "delta": more});
        self.of_item("response.refusal.delta", data, events);
    }

    fn think(&mut self, more: &str, events: &mut Vec<Event>) {
        if !matches!(self.open, Some(Open::Reasoning(_))) {
            self.begin_item(Open::Reasoning(String::new()), events);
            let part = json!({"type": "reasoning_text", "text": ""});
            let data = json!({"content_index": 0, "part": part});
            self.of_item("response.content_part.added", data, events);
        }
        if let Some(Open::Reasoning(text)) = &mut self.open {
            text.push_str(more);
        }
        let data = json!({"content_index": 0, "delta": more});
        self.of_item("response.reasoning_text.delta", data, events);
    }

    fn call(&mut self, id: String, known_as: String, events: &mut Vec<Event>) {
        let tool = match self.tools.find(&known_as) {
            Some(Tool {
                name,
                namespace,
                custom,
                ..
            }) => Called {
                call_id: id,
                name: name.clone(),
                namespace: namespace.clone(),
                custom: *custom,
            },
            None => Called {
                call_id: id,
                name: known_as,
                namespace: None,
                custom: false,
            },
        };
        let arguments = String::new();
        self.begin_item(Open::Call { tool, arguments }, events);
    }

    fn arguments(&mut self, more: &str, events: &mut Vec<Event>) {
        let Some(Open::Call { tool, arguments }) = &mut self.open else {
            return;
        };
        arguments.push_str(more);
        // The text of a custom tool is inside: it is told once it is whole.
        if !tool.custom {
            let data = json!({"delta": more});
            self.of_item("response.function_call_arguments.delta", data, events);
        }
    }

    fn end(&mut self, stop: &Stop, usage: Usage, events: &mut Vec<Event>) {
        let reason = match stop {
            Stop::Length => Some("max_output_tokens"),
            Stop::Filtered => Some("content_filter"),
            Stop::End | Stop::Sequence(_) | Stop::Calls => None,
        };
        self.status = if reason.is_some() {
            "incomplete"
        } else {
            "completed"
        };
        self.close(self.status, events);
        self.usage = json!({
            "input_tokens": usage.prompt,
            "input_tokens_details": {"cached_tokens": usage.cached},
            "output_tokens": usage.completion,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.prompt.saturating_add(usage.completion),
        });
        let name = match reason {
            None => "response.completed",
            Some(reason) => {
                self.incomplete = json!({"reason": reason});
                "response.incomplete"
            }
        };
        let response = self.response();
        self.event(name, json!({"response": response}), events);
    }

    fn fail(&mut self, failure: &Failure, events: &mut Vec<Event>) {
        self.close("incomplete", events);
        self.status = "failed";
        let code = failure.code.as_deref().unwrap_or("server_error");
        self.error = json!({"code": code, "message": failure.message});
        let response = self.response();
        self.event("response.failed", json!({"response": response}), events);
    }
}

impl Dialect for Answer {
    fn begin(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for name in ["response.created", "response.in_progress"] {
            let response = self.response();
            self.event(name, json!({"response": response}), &mut events);
        }
        events
    }

    fn piece(&mut self, piece: Piece) -> Vec<Event> {
        let mut events = Vec::new();
        match piece {
            Piece::Reasoning(more) => self.think(&more, &mut events),
            Piece::Text(more) => self.say(&more, &mut events),
            Piece::Refusal(more) => self.refuse(&more, &mut events),
            Piece::Call { id, name } => self.call(id, name, &mut events),
            Piece::Arguments(more) => self.arguments(&more, &mut events),
            Piece::Called => self.close("completed", &mut events),
            Piece::End { stop, usage } => self.end(&stop, usage, &mut events),
            Piece::Failed(failure) => self.fail(&failure, &mut events),
        }
        events
    }

    fn whole(&self) -> Result<Value, Failure> {
        Ok(self.response())
    }
}
