//! JSON-RPC 2.0, one message a line.

use serde::Deserialize;
use serde_json::{Value, json};

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Incoming {
    Request {
        id: Value,
        method: String,
        params: Value,
    },
    Notification {
        method: String,
        params: Value,
    },
    Response {
        id: Value,
        result: Result<Value, Refused>,
    },
}

/// An error that was answered.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Refused {
    #[serde(default)]
    pub(super) code: i64,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) data: Value,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    error: Option<Refused>,
}

/// A null that is there is not the same as nothing.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// What is said in a line, unless that is no message.
pub(super) fn parse(line: &str) -> Result<Incoming, ()> {
    let line: Line = serde_json::from_str(line).map_err(drop)?;
    match line {
        Line {
            id: Some(id),
            method: Some(method),
            params,
            ..
        } => Ok(Incoming::Request { id, method, params }),
        Line {
            method: Some(method),
            params,
            ..
        } => Ok(Incoming::Notification { method, params }),
        Line {
            id: Some(id),
            error: Some(refused),
            ..
        } => Ok(Incoming::Response {
            id,
            result: Err(refused),
        }),
        Line {
            id: Some(id),
            result: Some(result),
            ..
        } => Ok(Incoming::Response {
            id,
            result: Ok(result),
        }),
        _ => Err(()),
    }
}

fn line(message: &Value) -> String {
    format!("{message}\n")
}

pub(super) fn request(id: u64, method: &str, params: &Value) -> String {
    line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

pub(super) fn notification(method: &str, params: &Value) -> String {
    line(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

pub(super) fn response(id: &Value, result: &Value) -> String {
    line(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

pub(super) fn refusal(id: &Value, code: i64, message: &str) -> String {
    let error = json!({"code": code, "message": message});
    line(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
}

impl Refused {
    /// What was wrong, for people. The reason of whoever is behind the agent is mostly in `data`.
    pub(super) fn why(&self) -> String {
        let details = match &self.data {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Object(fields) => ["details", "message", "error", "reason"]
                .iter()
                .find_map(|name| fields.get(*name)?.as_str().map(str::to_owned))
                .or_else(|| Some(self.data.to_string())),
            other => Some(other.to_string()),
        };
        let text = match details {
            Some(details) if self.message.is_empty() => details,
            Some(details) if !self.message.contains(&details) => {
                format!("{}: {details}", self.message)
            }
            _ if self.message.is_empty() => format!("error {}", self.code),
            _ => self.message.clone(),
        };
        text.chars().take(4_000).collect()
    }
}
