//! Blocks of content, as messages hold them.

use serde_json::Value;

use crate::{
    Refused,
    chat::{Conversation, Part},
};

fn required(path: &str, what: &str) -> Refused {
    Refused::new(path, format!("{path}: {what} is required"))
}

fn string<'a>(block: &'a Value, field: &str, path: &str) -> Result<&'a str, Refused> {
    block[field]
        .as_str()
        .ok_or_else(|| required(&format!("{path}.{field}"), "a string"))
}

/// Reads one message into a conversation.
pub(super) fn message(
    message: &Value,
    path: &str,
    conversation: &mut Conversation,
) -> Result<(), Refused> {
    let role = message["role"].as_str().unwrap_or_default();
    let text;
    let blocks: &[Value] = match &message["content"] {
        Value::String(said) => {
            text = [serde_json::json!({"type": "text", "text": said})];
            &text
        }
        Value::Array(blocks) => blocks,
        _ => {
            let path = format!("{path}.content");
            return Err(required(&path, "a string or a list of blocks"));
        }
    };
    for (at, block) in blocks.iter().enumerate() {
        let path = format!("{path}.content.{at}");
        match role {
            "user" => user(block, &path, conversation)?,
            "assistant" => assistant(block, &path, conversation)?,
            "system" => conversation.system(string(block, "text", &path)?),
            _ => {
                let message = format!("{path}: its message's role must be `user` or `assistant`");
                return Err(Refused::new(path, message));
            }
        }
    }
    Ok(())
}

fn user(block: &Value, path: &str, conversation: &mut Conversation) -> Result<(), Refused> {
    if block["type"] != "tool_result" {
        let part = part(block, path)?;
        conversation.user(vec![part]);
        return Ok(());
    }
    let id = string(block, "tool_use_id", path)?;
    let mut parts = Vec::new();
    // The model is told in words: results in chat completions have no mark for it.
    if block["is_error"] == true {
        parts.push(Part::Text("The tool failed:".to_owned()));
    }
    match &block["content"] {
        Value::Null => {}
        Value::String(text) => parts.push(Part::Text(text.clone())),
        Value::Array(blocks) => {
            for (at, block) in blocks.iter().enumerate() {
                parts.push(part(block, &format!("{path}.content.{at}"))?);
            }
        }
        _ => {
            let path = format!("{path}.content");
            return Err(required(&path, "a string or a list of blocks"));
        }
    }
    conversation.result(id, parts);
    Ok(())
}

fn assistant(block: &Value, path: &str, conversation: &mut Conversation) -> Result<(), Refused> {
    match block["type"].as_str() {
        Some("text") => conversation.said(string(block, "text", path)?),
        Some("thinking") => conversation.thought(string(block, "thinking", path)?),
        // Only the service that wrote it can read it.
        Some("redacted_thinking") => {}
        Some("tool_use") => {
            let (id, name) = (string(block, "id", path)?, string(block, "name", path)?);
            let input = block.get("input").filter(|it| it.is_object());
            let input = input.ok_or_else(|| required(&format!("{path}.input"), "an object"))?;
            conversation.called(id, name, &input.to_string());
        }
        kind => return Err(unknown(kind, path)),
    }
    Ok(())
}

/// A part of what a user says or a tool shows.
fn part(block: &Value, path: &str) -> Result<Part, Refused> {
    let source = &block["source"];
    match block["type"].as_str() {
        Some("text") => Ok(Part::Text(string(block, "text", path)?.to_owned())),
        Some("image") => Ok(Part::picture(&url(source, path)?, None)),
        Some("document") if source["type"] == "text" => {
            let text = string(source, "data", &format!("{path}.source"))?;
            Ok(Part::Text(text.to_owned()))
        }
        Some("document") => {
            let name = block["title"].as_str().unwrap_or("document.pdf");
            Ok(Part::file(name, &url(source, path)?))
        }
        // A tool that is found, in the result of a search for tools: the client offers it itself.
        Some("tool_reference") => Ok(Part::Text(string(block, "tool_name", path)?.to_owned())),
        kind => Err(unknown(kind, path)),
    }
}

/// Where a picture or document is, or what it is.
fn url(source: &Value, path: &str) -> Result<String, Refused> {
    let path = format!("{path}.source");
    match source["type"].as_str() {
        Some("base64") => {
            let kind = string(source, "media_type", &path)?;
            let data = string(source, "data", &path)?;
            Ok(format!("data:{kind};base64,{data}"))
        }
        Some("url") => Ok(string(source, "url", &path)?.to_owned()),
        _ => {
            let message =
                format!("{path}: must be of type `base64` or `url`: nothing is stored here");
            Err(Refused::new(path, message))
        }
    }
}

fn unknown(kind: Option<&str>, path: &str) -> Refused {
    let kind = kind.unwrap_or("none");
    let message = format!("{path}: a block of type `{kind}` cannot be passed on to a model here");
    Refused::new(path, message)
}
