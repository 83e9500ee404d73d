//! Chat completions, as engines and providers speak them: requests that are made, and answers
//! that are read.

mod answer;
mod calls;
mod conversation;
mod meter;

pub use answer::{Failure, Piece, Reader, Stop, Usage};
pub use meter::{Meter, with_usage};

pub(crate) use conversation::{Conversation, Part};

use serde_json::{Map, Value, json};

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// OpenAI's own service: refuses fields that it does not know, and calls the limit of tokens
    /// `max_completion_tokens`.
    OpenAi,
    /// An engine, or a provider that behaves like one: takes `top_k` and what was thought before,
    /// and passes over what it does not know.
    Engine,
}

/// A tool as chat completions know it.
pub(crate) fn function(name: &str, description: Option<&str>, parameters: &Value) -> Value {
    let mut function = json!({"name": name, "parameters": parameters});
    if let Some(description) = description {
        function["description"] = description.into();
    }
    json!({"type": "function", "function": function})
}

/// The part of every request: streamed, with its cost at the end.
pub(crate) fn request(
    model: &str,
    conversation: Conversation,
    upstream: Upstream,
) -> Map<String, Value> {
    let mut chat = Map::new();
    chat.insert("model".into(), model.into());
    chat.insert("messages".into(), conversation.into_messages(upstream));
    chat.insert("stream".into(), true.into());
    chat.insert("stream_options".into(), json!({"include_usage": true}));
    chat
}

/// The name of the limit of tokens.
pub(crate) const fn max_tokens(upstream: Upstream) -> &'static str {
    match upstream {
        Upstream::OpenAi => "max_completion_tokens",
        Upstream::Engine => "max_tokens",
    }
}
