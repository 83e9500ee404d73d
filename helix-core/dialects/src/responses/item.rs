//! The items of an answer.

use serde_json::{Value, json};

/// An item that is being told.
#[derive(Debug)]
pub(super) enum Open {
    Reasoning(String),
    Message {
        /// Parts that are complete.
        parts: Vec<Value>,
        part: Said,
    },
    Call {
        tool: Called,
        arguments: String,
    },
}

/// A part of a message that is being told.
#[derive(Debug)]
pub(super) enum Said {
    Text(String),
    Refusal(String),
}

/// What is called.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) call_id: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) custom: bool,
}

impl Open {
    /// What its id begins with.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Reasoning(_) => "rs",
            Self::Message { .. } => "msg",
            Self::Call { tool, .. } if tool.custom => "ctc",
            Self::Call { .. } => "fc",
        }
    }

    /// The item, as far as it came.
    pub(super) fn item(&self, id: &str, status: &str) -> Value {
        match self {
            Self::Reasoning(text) => {
                let content = if text.is_empty() {
                    json!([])
                } else {
                    json!([{"type": "reasoning_text", "text": text}])
                };
                json!({"type": "reasoning", "id": id, "summary": [], "content": content,
                    "encrypted_content": null, "status": status})
            }
            Self::Message { parts, .. } => {
                json!({"type": "message", "id": id, "role": "assistant", "content": parts, "status": status})
            }
            Self::Call { tool, arguments } => call(tool, arguments, id, status),
        }
    }
}

fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// A part of a message, as far as it came.
pub(super) fn finished(part: &Said) -> Value {
    match part {
        Said::Text(text) => text_part(text),
        Said::Refusal(text) => json!({"type": "refusal", "refusal": text}),
    }
}

fn call(tool: &Called, arguments: &str, id: &str, status: &str) -> Value {
    let mut item = json!({"id": id, "call_id": tool.call_id, "name": tool.name, "status": status});
    if tool.custom {
        item["type"] = "custom_tool_call".into();
        item["input"] = input(arguments).into();
    } else {
        item["type"] = "function_call".into();
        item["arguments"] = arguments.into();
    }
    if let Some(namespace) = &tool.namespace {
        item["namespace"] = namespace.as_str().into();
    }
    item
}

/// The text in the arguments of a custom tool. A model that did not keep to the form is passed on
/// as it is: the tool says what is wrong with it.
pub(super) fn input(arguments: &str) -> String {
    let read: Option<Value> = serde_json::from_str(arguments).ok();
    let input = read.as_ref().and_then(|it| it["input"].as_str());
    input.unwrap_or(arguments).to_owned()
}
