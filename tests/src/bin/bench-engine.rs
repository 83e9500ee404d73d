//! A mock engine for benchmarks: speaks enough of OpenAI's API, thinks nothing,
//! and is as fast as a server can be.
//!
//! `bench-engine PORT`. A body with `"stream":true` is answered by 36 events. A
//! body with `"pause_ms":N` as well gets a pause of that length before each.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// Events of a streamed answer, the last one `[DONE]`.
const EVENTS: usize = 36;

const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":10,"total_tokens":22}}"#;
const EVENT: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"fox \"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const MODELS: &str = r#"{"object":"list","data":[{"id":"bench","object":"model","created":1700000000,"owned_by":"bench","max_model_len":4096}]}"#;

type Body = UnsyncBoxBody<Bytes, Infallible>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let port = std::env::args()
        .nth(1)
        .context("bench-engine PORT")?
        .parse()?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    let tasks = helix_base::TaskGroup::new();
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tasks.spawn("connection", serve(socket));
    }
}

async fn serve(socket: TcpStream) {
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer));
    // A gateway that hangs up is measured by the other side.
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    match request.uri().path() {
        "/v1/chat/completions" => {
            let body = request.into_body().collect().await?.to_bytes();
            Ok(if find(&body, b"\"stream\":true").is_some() {
                events(pause(&body))
            } else {
                json(ANSWER)
            })
        }
        "/v1/models" => Ok(json(MODELS)),
        _ => Ok(json("{}")),
    }
}

fn json(text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync());
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn events(pause: Option<Duration>) -> Response<Body> {
    let body = stream::unfold(0, move |sent| async move {
        if sent == EVENTS {
            return None;
        }
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            // As an engine does: each token by itself.
            None => tokio::task::yield_now().await,
        }
        let text = if sent + 1 == EVENTS { DONE } else { EVENT };
        Some((
            Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
            sent + 1,
        ))
    });
    let mut response = Response::new(StreamBody::new(body).boxed_unsync());
    let kind = header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn pause(body: &[u8]) -> Option<Duration> {
    let key = b"\"pause_ms\":";
    let rest = &body[find(body, key)? + key.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ms = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    Some(Duration::from_millis(ms))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
