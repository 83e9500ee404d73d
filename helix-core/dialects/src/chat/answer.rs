//! Reads a chat completion's stream: bytes in, pieces out.

use serde::Deserialize;
use serde_json::Value;

use super::calls::{Calls, Delta};
use crate::sse::Lines;

/// The longest answer that is translated: both sides keep it.
const ANSWER_BYTES: usize = 64 << 20;

/// The longest reason that is passed on, in characters.
const REASON: usize = 4_000;

/// What an answer cost, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read, cached ones included.
    pub prompt: u64,
    /// Of those, what was cached.
    pub cached: u64,
    /// Written, what was thought included.
    pub completion: u64,
    /// Of those, what was thought.
    pub reasoning: u64,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The model had said everything.
    End,
    /// With this sequence, which the request named. Not every engine says so.
    Sequence(String),
    /// At the limit of tokens.
    Length,
    /// Tools are called.
    Calls,
    /// What would have followed was held back.
    Filtered,
}

/// Why there is no answer, or no whole one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For people.
    pub message: String,
    /// As the upstream called it.
    pub code: Option<String>,
}

impl Failure {
    /// A failure without a code.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: None,
        }
    }

    /// The reason in an error, whichever of the usual shapes it has.
    fn read(error: &Value) -> Self {
        let text = error.get("message").unwrap_or(error);
        let text = text
            .as_str()
            .map_or_else(|| text.to_string(), ToOwned::to_owned);
        let code = error.get("code").and_then(Value::as_str);
        Self {
            message: text.chars().take(REASON).collect(),
            code: code.map(|code| code.chars().take(100).collect()),
        }
    }
}

/// What is next in an answer. Calls are told one after the other: [`Piece::Call`], its arguments,
/// [`Piece::Called`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// More of what the model thinks.
    Reasoning(String),
    /// More of what it says.
    Text(String),
    /// More of why it will not.
    Refusal(String),
    /// A tool is called.
    Call {
        /// The engine's id of the call.
        id: String,
        /// The tool.
        name: String,
    },
    /// More of the arguments of that call, as JSON.
    Arguments(String),
    /// The call is complete.
    Called,
    /// It has ended. Nothing follows.
    End {
        /// Why.
        stop: Stop,
        /// What it cost; zeros where the upstream does not say.
        usage: Usage,
    },
    /// It failed. Nothing follows.
    Failed(Failure),
}

#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Said>,
    #[serde(default)]
    finish_reason: Option<String>,
    /// The sequence that ended it, as vLLM says.
    #[serde(default)]
    stop_reason: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    /// As llama.cpp, DeepSeek and others say.
    #[serde(default)]
    reasoning_content: Option<Value>,
    /// As newer vLLM and OpenRouter say.
    #[serde(default)]
    reasoning: Option<Value>,
    #[serde(default)]
    tool_calls: Option<Vec<Called>>,
}

#[derive(Debug, Deserialize)]
struct Called {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Debug, Default, Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

/// The part of usage that is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        let cached = tokens.prompt_tokens_details.unwrap_or_default();
        let reasoning = tokens.completion_tokens_details.unwrap_or_default();
        Self {
            prompt: tokens.prompt_tokens,
            cached: cached.cached_tokens.unwrap_or(0).min(tokens.prompt_tokens),
            completion: tokens.completion_tokens,
            reasoning: reasoning.reasoning_tokens.unwrap_or(0),
        }
    }
}

/// Puts an answer together from its bytes, however they were cut. Ends with one
/// [`Piece::End`] or [`Piece::Failed`].
#[derive(Debug, Default)]
pub struct Reader {
    lines: Lines,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    calls: Calls,
    /// What was said in the middle of a call: told behind it.
    held: Vec<Piece>,
    stop: Option<Stop>,
    usage: Usage,
    bytes: usize,
    over: bool,
}

impl Reader {
    /// More bytes came.
    pub fn push(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) {
        let Self { lines, state } = self;
        state.bytes = state.bytes.saturating_add(bytes.len());
        if state.bytes > ANSWER_BYTES {
            return state.fail(Failure::new("the model's answer is too long"), pieces);
        }
        if lines.push(bytes, |data| state.read(data, pieces)).is_err() {
            let failure = Failure::new("the model's answer has a line without end");
            state.fail(failure, pieces);
        }
    }

    /// Nothing more will come.
    pub fn end(&mut self, pieces: &mut Vec<Piece>) {
        let Self { lines, state } = self;
        lines.end(|data| state.read(data, pieces));
        state.end(pieces);
    }
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

impl State {
    fn fail(&mut self, failure: Failure, pieces: &mut Vec<Piece>) {
        if !self.over {
            self.over = true;
            pieces.push(Piece::Failed(failure));
        }
    }

    fn read(&mut self, data: &[u8], pieces: &mut Vec<Piece>) {
        if self.over || data.is_empty() {
            return;
        }
        if data == b"[DONE]" {
            return self.end(pieces);
        }
        match serde_json::from_slice::<Chunk>(data) {
            Ok(chunk) => self.chunk(chunk, pieces),
            Err(error) => {
                let message = format!(
                    "the model's answer is not what the chat completions API says: {error}"
                );
                self.fail(Failure::new(message), pieces);
            }
        }
    }

    fn chunk(&mut self, chunk: Chunk, pieces: &mut Vec<Piece>) {
        if let Some(error) = chunk.error {
            return self.fail(Failure::read(&error), pieces);
        }
        if let Some(tokens) = chunk.usage {
            self.usage = tokens.into();
        }
        let Some(choice) = chunk.choices.into_iter().next() else {
            return;
        };
        let Said {
            content,
            refusal,
            reasoning_content,
            reasoning,
            tool_calls,
        } = choice.delta.unwrap_or_default();
        let thought = text(reasoning_content).or_else(|| text(reasoning));
        self.say(thought.map(Piece::Reasoning), pieces);
        self.say(content.map(Piece::Text), pieces);
        self.say(refusal.map(Piece::Refusal), pieces);
        for call in tool_calls.into_iter().flatten() {
            let function = call.function.unwrap_or_default();
            let delta = Delta {
                index: call.index,
                id: call.id.unwrap_or_default(),
                name: function.name.unwrap_or_default(),
                arguments: function.arguments.unwrap_or_default(),
            };
            if self.calls.push(delta, pieces).is_err() {
                let failure =
                    Failure::new("the model called more tools at once than can be passed on");
                return self.fail(failure, pieces);
            }
        }
        if let Some(reason) = choice.finish_reason {
            self.stop = Some(match (&*reason, choice.stop_reason) {
                ("length", _) => Stop::Length,
                ("content_filter", _) => Stop::Filtered,
                ("tool_calls" | "function_call", _) => Stop::Calls,
                (_, Some(Value::String(sequence))) => Stop::Sequence(sequence),
                _ => Stop::End,
            });
        }
    }

    /// Something is said: at once, unless a call is being told.
    fn say(&mut self, piece: Option<Piece>, pieces: &mut Vec<Piece>) {
        let Some(piece) = piece else { return };
        let (Piece::Reasoning(said) | Piece::Text(said) | Piece::Refusal(said)) = &piece else {
            return;
        };
        if said.is_empty() {
            return;
        }
        if self.calls.close_if_whole(pieces) {
            pieces.push(piece);
        } else {
            self.held.push(piece);
        }
    }

    fn end(&mut self, pieces: &mut Vec<Piece>) {
        if self.over {
            return;
        }
        let Some(stop) = self.stop.take() else {
            return self.fail(Failure::new("the model's answer broke off"), pieces);
        };
        self.over = true;
        self.calls.end(pieces);
        pieces.append(&mut self.held);
        // Some say `stop` although tools are called.
        let stop = match stop {
            Stop::End if !self.calls.is_empty() => Stop::Calls,
            stop => stop,
        };
        let usage = self.usage;
        pieces.push(Piece::End { stop, usage });
    }
}

#[cfg(test)]
mod tests;
