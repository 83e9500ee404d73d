//! A model that does what it is told, for tests of what calls tools: an OpenAI-compatible provider
//! that streams chat completions, on a port of its own.
//!
//! What it does is in what the user said last:
//!
//! - `file:PATH`: it writes that file, [`CONTENT`] in it, by the first tool of those offered that can
//!   (one that writes files, or runs commands), and then says how many files it has written in the
//!   conversation.
//! - `slowly`: it says a word every 50 ms, until nobody listens any more.
//! - anything else: it says `You said: …`.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use helix_base::TaskGroup;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What it writes into files.
pub const CONTENT: &str = "hello from the scripted model\n";

/// How often it says a word, slowly.
const WORD: Duration = Duration::from_millis(50);

/// How a tool is told to write.
type Write = fn(path: &str, parameters: &Value) -> Value;

/// Tools that it knows, those that write files first.
const TOOLS: [(&str, Write); 11] = [
    ("write", file),
    ("write_file", file),
    ("Write", file),
    ("mcp__acp__Write", file),
    ("exec_command", |path, _| json!({"cmd": command(path)})),
    ("shell_command", line),
    (
        "shell",
        |path, _| json!({"command": ["bash", "-lc", command(path)]}),
    ),
    ("bash", line),
    ("Bash", line),
    ("run_shell_command", line),
    ("run_command", line),
];

fn file(path: &str, parameters: &Value) -> Value {
    let known = |name: &&&str| parameters["properties"].get(**name).is_some();
    let name = ["filePath", "file_path", "path"].iter().find(known);
    json!({(*name.unwrap_or(&"path")): path, "content": CONTENT})
}

fn line(path: &str, _: &Value) -> Value {
    json!({"command": command(path), "description": "Writes a file"})
}

fn command(path: &str) -> String {
    format!("printf '{}\\n' > {path}", CONTENT.trim_end())
}

/// A scripted model, until its tasks end.
#[derive(Debug, Clone)]
pub struct ScriptedModel {
    base_url: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<Value>>,
    left: AtomicUsize,
}

impl ScriptedModel {
    /// Listens on a port of its own on loopback.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start(tasks: &TaskGroup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, tasks).unwrap()
    }

    /// Answers on a port that is there.
    ///
    /// # Errors
    /// When nothing is known of the port.
    pub fn on(listener: TcpListener, tasks: &TaskGroup) -> std::io::Result<Self> {
        let base_url = format!("http://{}/v1", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route("/v1/chat/completions", post(answer))
            .route("/requests", get(requests))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(Arc::clone(&shared));
        let cancelled = tasks.token().clone();
        tasks.spawn("scripted model", async move {
            let serving = axum::serve(listener, router).into_future();
            cancelled.run_until_cancelled(serving).await
        });
        Ok(Self { base_url, shared })
    }

    /// Where it is, as providers are configured.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The lines of a control plane's configuration that make it the provider `name`, with one
    /// model, `writer`.
    pub fn provider(&self, name: &str) -> String {
        let base_url = &self.base_url;
        format!("[[providers]]\nname = {name:?}\nbase_url = {base_url:?}\nmodels = [\"writer\"]\n")
    }

    /// What it was asked, in order.
    pub fn requests(&self) -> Vec<Value> {
        let requests = &self.shared.requests;
        requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many answers nobody listened to till their end.
    pub fn left(&self) -> usize {
        self.shared.left.load(Ordering::SeqCst)
    }
}

async fn requests(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let requests = shared
        .requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    Json(json!({"requests": *requests, "left": shared.left.load(Ordering::SeqCst)}))
}

/// What a message says.
fn said(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        parts => {
            let parts = parts.as_array().into_iter().flatten();
            let texts: Vec<_> = parts.filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
    }
}

/// The files that a user's message names.
fn named(message: &Value) -> Vec<String> {
    if message["role"] != "user" {
        return Vec::new();
    }
    let text = said(message);
    let after = text.split("file:").skip(1);
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let path = |rest: &str| rest.chars().take_while(|c| is_path(*c)).collect::<String>();
    after
        .map(path)
        .filter(|path| path.starts_with('/'))
        .collect()
}

/// What comes next in a conversation.
enum Next {
    Call(String, Value),
    Say(String),
    GoOn,
}

fn next(request: &Value) -> Next {
    let messages = request["messages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let offered = request["tools"].as_array().map_or(&[][..], Vec::as_slice);
    let last = messages
        .iter()
        .rposition(|it| it["role"] == "user" && !said(it).is_empty());
    let text = last.map(|at| said(&messages[at])).unwrap_or_default();
    // A turn that was cut short may stand in the same message, before what is asked now.
    let asked_at = |what: &str| text.rfind(what);
    if asked_at("slowly") > asked_at("Say that").max(asked_at("file:")) {
        return Next::GoOn;
    }
    let Some(path) = last.and_then(|at| named(&messages[at]).pop()) else {
        return Next::Say(format!("You said: {text}"));
    };
    let heard = messages
        .iter()
        .skip(last.unwrap_or(0))
        .any(|it| it["role"] == "tool");
    let known = TOOLS.iter().find_map(|(name, write)| {
        let function = offered.iter().map(|tool| &tool["function"]);
        let function = function.into_iter().find(|it| it["name"] == *name)?;
        Some(((*name).to_owned(), write(&path, &function["parameters"])))
    });
    match known {
        Some((name, arguments)) if !heard => Next::Call(name, arguments),
        _ => {
            let files: usize = messages.iter().map(|it| named(it).len().min(1)).sum();
            let plural = if files == 1 { "" } else { "s" };
            Next::Say(format!("Done: {files} file{plural} written."))
        }
    }
}

/// Counts an answer that is dropped before its end.
struct Open(Arc<Shared>, bool);

impl Open {
    const fn ended(&mut self) {
        self.1 = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.1 {
            self.0.left.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    let next = next(&request);
    let requests = &shared.requests;
    requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request);
    let open = Open(shared, false);
    match next {
        Next::Say(text) => {
            let words = text.split_inclusive(' ');
            let chunks = words.map(|word| delta(&json!({"content": word})));
            events(
                stream::iter(chunks.chain([end("stop")]).collect::<Vec<_>>()),
                open,
            )
        }
        Next::Call(name, arguments) => {
            let function = json!({"name": name, "arguments": ""});
            let begin =
                json!([{"index": 0, "id": "call_1", "type": "function", "function": function}]);
            let mut chunks = vec![delta(&json!({"role": "assistant", "tool_calls": begin}))];
            let arguments: Vec<char> = arguments.to_string().chars().collect();
            for part in arguments.chunks(12) {
                let part: String = part.iter().collect();
                let call = json!([{"index": 0, "function": {"arguments": part}}]);
                chunks.push(delta(&json!({"tool_calls": call})));
            }
            chunks.push(end("tool_calls"));
            events(stream::iter(chunks), open)
        }
        Next::GoOn => {
            let words = stream::unfold((), async |()| {
                tokio::time::sleep(WORD).await;
                Some((delta(&json!({"content": "word "})), ()))
            });
            events(words, open)
        }
    }
}

fn delta(delta: &Value) -> Bytes {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
    let chunk = json!({"id": "scripted", "object": "chat.completion.chunk", "created": 1, "model": "writer", "choices": [choice]});
    format!("data: {chunk}\n\n").into()
}

fn end(reason: &str) -> Bytes {
    let choice = json!({"index": 0, "delta": {}, "finish_reason": reason});
    let stop = json!({"id": "scripted", "object": "chat.completion.chunk", "created": 1, "model": "writer", "choices": [choice]});
    let usage = json!({"id": "scripted", "object": "chat.completion.chunk", "created": 1, "model": "writer", "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}});
    format!("data: {stop}\n\ndata: {usage}\n\ndata: [DONE]\n\n").into()
}

fn events(chunks: impl Stream<Item = Bytes> + Send + 'static, mut open: Open) -> Response {
    let last = stream::once(async move {
        open.ended();
        Bytes::new()
    });
    let body = chunks.chain(last).map(Ok::<_, Infallible>);
    let kind = [("content-type", "text/event-stream")];
    (kind, Body::from_stream(body)).into_response()
}
