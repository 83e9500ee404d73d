//! Asking the model, by chat completions with streaming.

use std::time::Duration;

use futures_util::StreamExt as _;
use helix_base::{ExposeSecret as _, Outbound, SecretString, outbound};
use serde_json::{Value, json};
use url::Url;

use super::AssistantOptions;
use crate::Error;

/// How long the model may say nothing.
const SILENT: Duration = Duration::from_secs(300);
/// The longest line of an answer, and the longest error that is read.
const LONGEST: usize = 4 << 20;
const SAID: usize = 4_000;
/// How servers refuse pictures for a model that takes none: some as a fault of their own.
const REFUSED: [u16; 6] = [400, 413, 415, 422, 500, 501];
/// Tool calls in one answer, and bytes of their arguments in all.
const CALLS: usize = 64;
const ARGUMENTS: usize = 8 << 20;

/// The model.
#[derive(Debug)]
pub(super) struct Model {
    url: Url,
    key: SecretString,
    name: String,
    outbound: Outbound,
}

/// What it answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
    pub(super) finish: Option<String>,
    pub(super) tokens: Option<u64>,
}

/// A tool that it calls.
#[derive(Debug, Default, Clone)]
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// As whoever refused says it.
    pub(super) why: String,
    /// What was asked is refused, and something else may not be.
    pub(super) refused: bool,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        let refused = false;
        Self { why, refused }
    }
}

/// What is new of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Thought(String),
}

impl Model {
    pub(super) fn new(options: &AssistantOptions, outbound: Outbound) -> Result<Self, Error> {
        let mut url = options.api.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/v1/chat/completions"));
        Ok(Self {
            url,
            key: options.key.clone(),
            name: options.model.clone(),
            outbound,
        })
    }

    /// Asks, and tells of each piece as it comes.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub(super) async fn ask(
        &self,
        messages: &[Value],
        tools: &[Value],
        mut piece: impl FnMut(Piece),
    ) -> Result<Answer, Failure> {
        let request = json!({
            "model": self.name,
            "messages": messages,
            "tools": tools,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        let sent = self.outbound.http().post(self.url.clone());
        let sent = sent.bearer_auth(self.key.expose_secret()).json(&request);
        let answered = tokio::time::timeout(SILENT, sent.send()).await;
        let answer = answered
            .map_err(|_| silent())?
            .map_err(|error| format!("the model cannot be asked: {}", outbound::why(&error)))?;
        let status = answer.status();
        let mut body = answer.bytes_stream();
        let (mut gathered, mut rest) = (Answer::default(), Vec::new());
        loop {
            let next = tokio::time::timeout(SILENT, body.next()).await;
            let Some(bytes) = next.map_err(|_| silent())? else {
                break;
            };
            let bytes = bytes.map_err(|error| {
                format!("the model's answer broke off: {}", outbound::why(&error))
            })?;
            rest.extend_from_slice(&bytes);
            if rest.len() > LONGEST {
                return Err("the model's answer is beyond all bounds".to_owned().into());
            }
            while status.is_success()
                && let Some(end) = rest.iter().position(|&byte| byte == b'\n')
            {
                let line: Vec<u8> = rest.drain(..=end).collect();
                gathered.line(&String::from_utf8_lossy(&line), &mut piece)?;
            }
        }
        if !status.is_success() {
            return Err(Failure {
                why: format!("the model's server answered {status}: {}", refusal(&rest)),
                refused: REFUSED.contains(&status.as_u16()),
            });
        }
        gathered.line(&String::from_utf8_lossy(&rest), &mut piece)?;
        Ok(gathered)
    }
}

fn silent() -> String {
    format!("the model said nothing for {} s", SILENT.as_secs())
}

/// What an error says.
fn refusal(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = value
        .pointer("/error/message")
        .or_else(|| value.get("message"));
    let text = match message.and_then(Value::as_str) {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(body).into_owned(),
    };
    text.chars().take(SAID).collect()
}

impl Answer {
    /// One line of the stream.
    fn line(&mut self, line: &str, piece: &mut impl FnMut(Piece)) -> Result<(), String> {
        let Some(data) = line.trim().strip_prefix("data:").map(str::trim) else {
            return Ok(());
        };
        if data == "[DONE]" {
            return Ok(());
        }
        let chunk: Value = serde_json::from_str(data)
            .map_err(|error| format!("the model's answer cannot be read: {error}"))?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(refusal(json!({"error": error}).to_string().as_bytes()));
        }
        if let Some(tokens) = chunk.pointer("/usage/total_tokens").and_then(Value::as_u64) {
            self.tokens = Some(tokens);
        }
        let Some(choice) = chunk.pointer("/choices/0") else {
            return Ok(());
        };
        if let Some(finish) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish = Some(finish.to_owned());
        }
        let Some(delta) = choice.get("delta") else {
            return Ok(());
        };
        let text = |name: &str| {
            let text = delta.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        if let Some(thought) = text("reasoning_content").or_else(|| text("reasoning")) {
            piece(Piece::Thought(thought));
        }
        if let Some(said) = text("content") {
            self.text.push_str(&said);
            piece(Piece::Text(said));
        }
        let calls = delta.get("tool_calls").and_then(Value::as_array);
        calls
            .into_iter()
            .flatten()
            .try_for_each(|call| self.call(call))
    }

    fn call(&mut self, delta: &Value) -> Result<(), String> {
        let too_much = || "the model calls more tools than it may at once".to_owned();
        let index = delta.get("index").and_then(Value::as_u64).unwrap_or(0);
        let index = usize::try_from(index).ok().filter(|index| *index < CALLS);
        let index = index.ok_or_else(too_much)?;
        if self.calls.len() <= index {
            self.calls.resize(index + 1, ToolCall::default());
        }
        let call = &mut self.calls[index];
        let text = |pointer: &str| delta.pointer(pointer).and_then(Value::as_str);
        if let Some(id) = text("/id") {
            id.clone_into(&mut call.id);
        }
        if let Some(name) = text("/function/name") {
            call.name.push_str(name);
        }
        if let Some(arguments) = text("/function/arguments") {
            call.arguments.push_str(arguments);
        }
        let bytes: usize = self.calls.iter().map(|call| call.arguments.len()).sum();
        if bytes > ARGUMENTS {
            Err(too_much())
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(lines: &[&str]) -> Result<(Answer, Vec<Piece>), String> {
        let (mut answer, mut pieces) = (Answer::default(), Vec::new());
        for line in lines {
            answer.line(line, &mut |piece| pieces.push(piece))?;
        }
        Ok((answer, pieces))
    }

    #[test]
    fn text_thoughts_and_calls_are_gathered() {
        let (answer, pieces) = gathered(&[
            ": a comment",
            r#"data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}"#,
            r#"data: {"choices":[{"delta":{"content":"On it"}}]}"#,
            r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"shell","arguments":"{\"com"}}]}}]}"#,
            r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"mand\":\"ls\"}"}}]}}]}"#,
            r#"data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
            r#"data: {"choices":[],"usage":{"total_tokens":15}}"#,
            "data: [DONE]",
        ])
        .unwrap();
        assert_eq!(
            pieces,
            [Piece::Thought("hm".into()), Piece::Text("On it".into())]
        );
        assert_eq!((answer.text.as_str(), answer.tokens), ("On it", Some(15)));
        assert_eq!(answer.finish.as_deref(), Some("tool_calls"));
        let [call] = &answer.calls[..] else {
            panic!("{:?}", answer.calls)
        };
        assert_eq!((call.id.as_str(), call.name.as_str()), ("c1", "shell"));
        assert_eq!(call.arguments, r#"{"command":"ls"}"#);
    }

    #[test]
    fn an_error_in_the_stream_is_the_reason_and_nonsense_is_refused() {
        let error = gathered(&[r#"data: {"error":{"message":"no credit"}}"#]).unwrap_err();
        assert_eq!(error, "no credit");
        gathered(&["data: {"]).unwrap_err();
        let far = r#"data: {"choices":[{"delta":{"tool_calls":[{"index":9999999}]}}]}"#;
        gathered(&[far]).unwrap_err();
    }
}
