//! A scripted model: an OpenAI-compatible provider on a port of its own. What
//! it does is the last word of the question.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use helix_base::TaskGroup;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore};

/// The scripted model's side that tests hold.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) base_url: String,
    state: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    requests: Mutex<Vec<Value>>,
    /// One permit for each `hold` that may go on.
    go_on: Semaphore,
    /// Answers that nobody reads any more.
    left: AtomicUsize,
}

impl Model {
    pub(crate) async fn start(tasks: &TaskGroup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let state = Arc::new(Shared {
            requests: Mutex::default(),
            go_on: Semaphore::new(0),
            left: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/v1/chat/completions", post(answer))
            .with_state(Arc::clone(&state));
        tasks.spawn("scripted model", async move {
            axum::serve(listener, router).await
        });
        Self { base_url, state }
    }

    /// What it was asked.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Lets one answer that holds go on.
    pub(crate) fn go_on(&self) {
        self.state.go_on.add_permits(1);
    }

    /// Answers that were dropped before their end.
    pub(crate) fn left(&self) -> usize {
        self.state.left.load(Ordering::SeqCst)
    }
}

fn text(text: &str) -> Bytes {
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": text}}]});
    format!("data: {chunk}\n\n").into()
}

/// A call of a tool, its arguments in parts, behind a thought and a word.
fn call() -> Vec<Bytes> {
    let chunk = |delta: Value| -> Bytes {
        let chunk = json!({"choices": [{"index": 0, "delta": delta}]});
        format!("data: {chunk}\n\n").into()
    };
    let arguments =
        |text: &str| chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]}));
    let function = json!({"name": "write_file", "arguments": ""});
    let begin = json!({"tool_calls": [{"index": 0, "id": "call_7", "type": "function", "function": function}]});
    let stop = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 6}}});
    vec![
        chunk(json!({"reasoning_content": "hm"})),
        text("I write."),
        chunk(begin),
        arguments("{\"path\":\"a.txt\","),
        arguments("\"content\":\"hi\"}"),
        format!("data: {stop}\n\ndata: {usage}\n\ndata: [DONE]\n\n").into(),
    ]
}

fn end() -> Bytes {
    let stop = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}});
    format!("data: {stop}\n\ndata: {usage}\n\ndata: [DONE]\n\n").into()
}

/// Counts an answer that is dropped before its end.
struct Held(Arc<Shared>, bool);

impl Held {
    async fn go_on(&self) {
        self.0.go_on.acquire().await.unwrap().forget();
    }

    const fn ended(&mut self) {
        self.1 = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.1 {
            self.0.left.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn answer(State(state): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    let question = request["messages"].as_array().unwrap().last().unwrap()["content"].clone();
    state.requests.lock().unwrap().push(request);
    let question = question.as_str().unwrap().to_owned();
    match question.split_whitespace().last().unwrap() {
        "refuse" => (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": {"message": "the prompt is too long", "type": "invalid_request_error"}})),
        )
            .into_response(),
        "call" => events(call()),
        "break" => events(vec![text("half of an ans")]),
        "stumble" => events(vec![
            text("before"),
            Bytes::from_static(b"data: {\"error\":{\"message\":\"out of memory\"}}\n\n"),
        ]),
        "hold" => {
            let mut held = Held(Arc::clone(&state), false);
            let rest = stream::once(async move {
                held.go_on().await;
                held.ended();
                Ok::<_, Infallible>(Bytes::from([text("second"), end()].concat()))
            });
            body(stream::iter([Ok(text("first "))]).chain(rest))
        }
        _ => events(vec![text("You said: "), text("🎈"), text(&question), end()]),
    }
}

fn events(chunks: Vec<Bytes>) -> Response {
    body(stream::iter(chunks.into_iter().map(Ok::<_, Infallible>)))
}

fn body(
    chunks: impl stream::Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
) -> Response {
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(chunks),
    )
        .into_response()
}
