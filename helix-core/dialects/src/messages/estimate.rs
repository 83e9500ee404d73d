//! How many tokens a request has, where nobody can be asked.

use serde_json::Value;

/// Bytes of text to a token: what tokenizers make of English and of code.
const BYTES: u64 = 4;

/// What each message costs beside its text.
const MESSAGE: u64 = 4;

/// What a picture or a file costs.
const ATTACHED: u64 = 1_000;

/// About how many tokens a chat completion's request has: a quarter of the bytes of all texts and of
/// the tools' descriptions, 4 for each message, 1,000 for each picture or file. Other languages
/// than English have more tokens than this says, up to about three times as many.
pub fn estimate(chat: &Value) -> u64 {
    let messages = chat["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let said: u64 = messages.iter().map(message).sum();
    let tools = match &chat["tools"] {
        Value::Null => 0,
        tools => tools.to_string().len() as u64,
    };
    said + tools.div_ceil(BYTES)
}

fn message(message: &Value) -> u64 {
    let mut bytes = 0;
    let mut attached = 0;
    match &message["content"] {
        Value::String(text) => bytes += text.len() as u64,
        Value::Array(parts) => {
            for part in parts {
                match part["text"].as_str() {
                    Some(text) => bytes += text.len() as u64,
                    None => attached += ATTACHED,
                }
            }
        }
        _ => {}
    }
    bytes += message["reasoning_content"].as_str().map_or(0, str::len) as u64;
    if let Some(calls) = message.get("tool_calls") {
        bytes += calls.to_string().len() as u64;
    }
    bytes.div_ceil(BYTES) + attached + MESSAGE
}
