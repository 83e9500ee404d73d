//! The items of a request's input.

use serde_json::{Value, json};

use super::tools::known_as;
use crate::{
    Refused,
    chat::{Conversation, Part},
};

fn string<'a>(item: &'a Value, field: &str, path: &str) -> Result<&'a str, Refused> {
    item[field].as_str().ok_or_else(|| {
        let path = format!("{path}.{field}");
        let message = format!("`{path}` must be a string");
        Refused::new(path, message)
    })
}

/// Reads one item into a conversation.
pub(super) fn item(
    item: &Value,
    path: &str,
    conversation: &mut Conversation,
) -> Result<(), Refused> {
    match item["type"].as_str() {
        Some("message") => message(item, path, conversation),
        None if item.get("role").is_some() => message(item, path, conversation),
        Some("function_call") => {
            let id = string(item, "call_id", path)?;
            let name = known_as(item["namespace"].as_str(), string(item, "name", path)?);
            conversation.called(id, &name, string(item, "arguments", path)?);
            Ok(())
        }
        Some("custom_tool_call") => {
            let id = string(item, "call_id", path)?;
            let name = known_as(item["namespace"].as_str(), string(item, "name", path)?);
            let arguments = json!({"input": string(item, "input", path)?}).to_string();
            conversation.called(id, &name, &arguments);
            Ok(())
        }
        Some("function_call_output" | "custom_tool_call_output") => {
            let id = string(item, "call_id", path)?;
            let parts = parts(&item["output"], &format!("{path}.output"))?;
            conversation.result(id, parts);
            Ok(())
        }
        Some("reasoning") => {
            // What only OpenAI can read, `encrypted_content`, stays out.
            for part in item["content"].as_array().into_iter().flatten() {
                conversation.thought(part["text"].as_str().unwrap_or_default());
            }
            Ok(())
        }
        Some("item_reference") => {
            let message = format!(
                "`{path}` refers to an item of before: nothing is stored here, send the item itself"
            );
            Err(Refused::new(path, message))
        }
        kind => Err(unknown("an item", kind, path)),
    }
}

fn message(item: &Value, path: &str, conversation: &mut Conversation) -> Result<(), Refused> {
    let content = format!("{path}.content");
    let role = item["role"].as_str();
    if role == Some("user") {
        let parts = parts(&item["content"], &content)?;
        conversation.user(parts);
        return Ok(());
    }
    let mut text = String::new();
    for part in parts(&item["content"], &content)? {
        let Part::Text(more) = part else {
            let message = format!("`{content}` may hold texts alone, for this role");
            return Err(Refused::new(content, message));
        };
        text.push_str(&more);
    }
    match role {
        Some("system" | "developer") => conversation.system(&text),
        Some("assistant") => conversation.said(&text),
        _ => {
            let path = format!("{path}.role");
            let message = format!("`{path}` must be `user`, `assistant`, `system` or `developer`");
            return Err(Refused::new(path, message));
        }
    }
    Ok(())
}

/// The parts of a content, or of what a tool answered.
fn parts(content: &Value, path: &str) -> Result<Vec<Part>, Refused> {
    match content {
        Value::String(text) => Ok(vec![Part::Text(text.clone())]),
        Value::Array(parts) => {
            let parts = parts.iter().enumerate();
            parts
                .map(|(at, it)| part(it, &format!("{path}[{at}]")))
                .collect()
        }
        _ => {
            let message = format!("`{path}` must be a string or a list of parts");
            Err(Refused::new(path, message))
        }
    }
}

fn part(part: &Value, path: &str) -> Result<Part, Refused> {
    match part["type"].as_str() {
        Some("input_text" | "output_text" | "text" | "summary_text") => {
            Ok(Part::Text(string(part, "text", path)?.to_owned()))
        }
        Some("refusal") => Ok(Part::Text(string(part, "refusal", path)?.to_owned())),
        Some("input_image") => {
            let url = string(part, "image_url", path)?;
            Ok(Part::picture(url, part["detail"].as_str()))
        }
        Some("input_file") => {
            let name = part["filename"].as_str().unwrap_or("file.pdf");
            Ok(Part::file(name, string(part, "file_data", path)?))
        }
        kind => Err(unknown("a part", kind, path)),
    }
}

fn unknown(what: &str, kind: Option<&str>, path: &str) -> Refused {
    let kind = kind.unwrap_or("none");
    let message = format!("`{path}`: {what} of type `{kind}` cannot be passed on to a model here");
    Refused::new(path, message)
}
