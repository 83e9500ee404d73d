//! Requests by another API than chat completions: asked as one, streamed, and told back in the API
//! that they came by. A client that does not want events gets the same answer as one object.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use helix_dialects::{Dialect, Event, Refused, Translation, chat::Failure as Failed};
use helix_proto::openai::{ErrorBody, ErrorDetail, RequestBody};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::asked::{Asked, REQUEST_ID};
use crate::{
    App,
    inference::{Endpoint, Error, Opened},
};

/// How much of an error answer is read.
const ERROR_BYTES: usize = 64 << 10;

/// How long nothing comes before the client is told that the answer goes on: proxies cut connections
/// on which nothing passes for 30 to 60 s.
const IDLE: Duration = Duration::from_secs(15);

/// Tells it where the API has no event for it: clients pass over comments.
const COMMENT: &[u8] = b": it goes on\n\n";

/// How long an upstream may take to end its answer behind the last word.
const LAST: Duration = Duration::from_millis(500);

/// An error on its way to a client.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: Box<ErrorDetail>,
    pub(super) retry_after: Option<HeaderValue>,
}

impl Refusal {
    fn new(status: StatusCode, kind: &str, message: String, code: Option<String>) -> Self {
        Self {
            status,
            error: Box::new(ErrorDetail {
                message,
                r#type: kind.to_owned(),
                param: None,
                code,
            }),
            retry_after: None,
        }
    }

    /// An answer that failed once it had begun.
    fn failed(failure: Failed) -> Self {
        let Failed { message, code } = failure;
        Self::new(StatusCode::BAD_GATEWAY, "server_error", message, code)
    }

    /// The reason in an error answer of an engine or provider.
    async fn answered(opened: Opened) -> Self {
        let Opened {
            status,
            headers,
            mut body,
        } = opened;
        let mut bytes = Vec::new();
        while let Some(Ok(part)) = body.next().await {
            bytes.extend_from_slice(&part);
            if bytes.len() > ERROR_BYTES {
                break;
            }
        }
        // Every error that comes from inference is in OpenAI's shape, but what it holds is the
        // upstream's, types included.
        let read: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |field: &str| read["error"][field].as_str().map(ToOwned::to_owned);
        let message = text("message").unwrap_or_else(|| format!("the model answered {status}"));
        let kind = text("type").unwrap_or_else(|| "invalid_request_error".to_owned());
        let mut refusal = Self::new(status, &kind, message, text("code"));
        refusal.error.param = text("param");
        refusal.retry_after = headers.get(header::RETRY_AFTER).cloned();
        refusal
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let Refused { param, message } = refused;
        let kind = "invalid_request_error";
        let mut refusal = Self::new(StatusCode::BAD_REQUEST, kind, message, None);
        refusal.error.param = param;
        refusal
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let retry_after = error.retry_after().map(|after| {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            HeaderValue::from(seconds.max(1))
        });
        Self {
            status: error.status(),
            error: Box::new(error.to_openai().error),
            retry_after,
        }
    }
}

/// In OpenAI's shape.
impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let error = *refusal.error;
        with_headers(
            (refusal.status, axum::Json(ErrorBody { error })).into_response(),
            refusal.retry_after,
        )
    }
}

/// An error answer that says when to try again.
pub(super) fn with_headers(mut response: Response, retry_after: Option<HeaderValue>) -> Response {
    if let Some(after) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    response
}

/// What tells an answer from all others: its request's id, without the prefix.
pub(super) fn seed(asked: &Asked) -> String {
    let id = asked.id.to_string();
    let seed = id.split_once('_').map(|(_, seed)| seed.to_lowercase());
    seed.unwrap_or(id)
}

/// A body as JSON. It is let go of: there is room in it for pictures.
#[expect(clippy::needless_pass_by_value, reason = "it is dropped here")]
pub(super) fn read(body: Bytes) -> Result<Value, Refusal> {
    serde_json::from_slice(&body).map_err(|error| {
        let message = format!("the body is not valid JSON: {error}");
        let kind = "invalid_request_error";
        Refusal::new(StatusCode::BAD_REQUEST, kind, message, None)
    })
}

/// Asks `chat`, a chat completion that is streamed, and tells the answer by `dialect`: as events,
/// or as one object.
pub(super) async fn answer<D: Dialect + Send + 'static>(
    app: &App,
    asked: Asked,
    chat: Value,
    dialect: D,
    stream: bool,
) -> Result<Response, Refusal> {
    let body = serde_json::to_vec(&chat).unwrap_or_default();
    drop(chat);
    let body = RequestBody::parse(body.into()).map_err(|error| Refusal::from(&error.into()))?;
    let opened = asked.open(app, Endpoint::ChatCompletions, body).await;
    let opened = opened.map_err(|error| Refusal::from(&error))?;
    if !opened.status.is_success() {
        return Err(Refusal::answered(opened).await);
    }
    if !is_event_stream(&opened.headers) {
        let failure = Failed::new("the model did not stream its answer, as it was asked to");
        return Err(Refusal::failed(failure));
    }
    let id = HeaderValue::from_str(&asked.id.to_string());
    let telling = Telling {
        body: opened.body,
        translation: Translation::new(dialect),
        asked,
        begun: false,
    };
    let mut response = if stream {
        let events = Body::from_stream(stream::unfold(telling, Telling::next));
        let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
        ([(header::CONTENT_TYPE, kind)], events).into_response()
    } else {
        axum::Json(telling.whole().await.map_err(Refusal::failed)?).into_response()
    };
    if let Ok(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(response)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// An answer that is being told. Dropping it cancels the work on the engine.
struct Telling<B, D> {
    body: B,
    translation: Translation<D>,
    asked: Asked,
    begun: bool,
}

impl<B, D> Telling<B, D>
where
    B: Stream<Item = Result<Bytes, Error>> + Unpin,
    D: Dialect,
{
    /// The events that come next.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let mut out = Vec::new();
        if !self.begun {
            self.begun = true;
            encode(&self.translation.begin(), &mut out);
        }
        while out.is_empty() {
            if self.translation.is_over() {
                self.ended().await;
                return None;
            }
            // Nothing is lost of what is given up: it only waits for more bytes.
            match tokio::time::timeout(IDLE, self.more()).await {
                Ok(events) => encode(&events, &mut out),
                Err(_) => match self.translation.idle() {
                    Some(event) => event.encode(&mut out),
                    None => out.extend_from_slice(COMMENT),
                },
            }
        }
        Some((Ok(out.into()), self))
    }

    /// The answer as one object.
    async fn whole(mut self) -> Result<Value, Failed> {
        while !self.translation.is_over() {
            self.more().await;
        }
        self.ended().await;
        self.translation.whole()
    }

    async fn more(&mut self) -> Vec<Event> {
        match self.body.next().await {
            Some(Ok(bytes)) => self.translation.push(&bytes),
            Some(Err(error)) => self.translation.fail(Failed::new(error.to_string())),
            None => self.translation.end(),
        }
    }

    /// Nothing more is told: counts, and lets the upstream end its answer, where it ended well.
    async fn ended(&mut self) {
        let Some(usage) = self.translation.usage() else {
            return;
        };
        self.asked.cost(usage);
        let rest = async { while let Some(Ok(_)) = self.body.next().await {} };
        // Late or not, the client has everything.
        let _ = tokio::time::timeout(LAST, rest).await;
    }
}

fn encode(events: &[Event], out: &mut Vec<u8>) {
    for event in events {
        event.encode(out);
    }
}

#[cfg(test)]
mod tests {
    use helix_dialects::{messages, responses};
    use serde_json::json;

    use super::*;

    fn telling<D: Dialect>(dialect: D) -> Telling<impl Stream<Item = Result<Bytes, Error>>, D> {
        Telling {
            body: stream::pending(),
            translation: Translation::new(dialect),
            asked: Asked::nobodys(),
            begun: true,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_told_that_an_answer_goes_on_before_a_proxy_cuts_it() {
        let begun = tokio::time::Instant::now();
        let request = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        let request = messages::Request::read(request).unwrap();
        let told = telling(messages::Answer::new(&request, "1")).next().await;
        assert_eq!(
            told.unwrap().0.unwrap(),
            "event: ping\ndata: {\"type\":\"ping\"}\n\n"
        );
        let request = responses::Request::read(json!({"model": "m", "input": "hi"})).unwrap();
        let told = telling(responses::Answer::new(&request, "1", 0))
            .next()
            .await;
        assert_eq!(told.unwrap().0.unwrap(), COMMENT);
        assert_eq!(begun.elapsed(), 2 * IDLE);
    }
}
