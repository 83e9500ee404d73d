//! From an upstream's answer to what the client gets: the headers that concern
//! it, the body as it comes, and errors in OpenAI's shape whoever made them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use helix_proto::{
    RequestId,
    openai::{ErrorBody, ErrorDetail},
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;

use super::{
    Error, Opened,
    body::{Answer, End, Hold, NoPlace, Upstream, Watch},
};

/// Longest error of an upstream that is looked at.
const MAX_ERROR: usize = 64 << 10;

/// How long the body of an error may take.
const ERROR_WITHIN: Duration = Duration::from_secs(10);

/// Headers of an upstream that concern the client. No others: not its cookies,
/// and not its opinion on which pages may read the answer.
const PASSED: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::RETRY_AFTER,
];

/// Who answers, and the place it answers from.
#[derive(Debug)]
pub(super) struct Source {
    /// The request it answers.
    pub id: RequestId,
    /// For messages.
    pub who: Arc<str>,
    /// Freed with the end of the answer.
    pub hold: Box<dyn Hold>,
}

/// What the client gets of `response`.
pub(super) async fn opened(
    watch: &Arc<Watch>,
    response: Response<Upstream>,
    source: Source,
) -> Result<Opened, Error> {
    let (parts, body) = response.into_parts();
    let status = parts.status;
    let headers = passed(&parts.headers);
    let Source { id, who, mut hold } = source;
    if status.is_success() {
        let events = is_event_stream(&headers);
        let body = watch.relay(Answer {
            id,
            upstream: body,
            events,
            who,
            hold,
        });
        return Ok(Opened {
            status,
            headers,
            body,
        });
    }
    if status.is_informational() || status.is_redirection() {
        let reason = format!("it answered {status}, which is no answer to a request of this kind");
        return Err(Error::Upstream {
            who: who.to_string(),
            reason,
        });
    }
    // An error is short: its place is free as soon as it is read.
    let bytes = short(body).await;
    hold.ended(if status.is_server_error() {
        End::Broken
    } else {
        End::Complete
    });
    Ok(refused(watch, status, &parts.headers, bytes, id, who))
}

/// A short body, read to its end; `None` if it is not short or breaks off.
pub(super) async fn short(mut body: Upstream) -> Option<Bytes> {
    let read = async {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            bytes.extend_from_slice(frame.ok()?.data_ref().unwrap_or(&Bytes::new()));
            if bytes.len() > MAX_ERROR {
                return None;
            }
        }
        Some(bytes.into())
    };
    tokio::time::timeout(ERROR_WITHIN, read).await.ok()?
}

/// What the client gets of an error answer.
fn refused(
    watch: &Arc<Watch>,
    status: StatusCode,
    headers: &HeaderMap,
    bytes: Option<Bytes>,
    id: RequestId,
    who: Arc<str>,
) -> Opened {
    let (status, headers, bytes) = failed(status, passed(headers), bytes, &who);
    let upstream = Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync();
    let body = watch.relay(Answer {
        id,
        upstream,
        events: false,
        who,
        hold: Box::new(NoPlace),
    });
    Opened {
        status,
        headers,
        body,
    }
}

/// An error as the client gets it.
fn failed(
    status: StatusCode,
    mut headers: HeaderMap,
    bytes: Option<Bytes>,
    who: &str,
) -> (StatusCode, HeaderMap, Bytes) {
    // To the client, 401 says that its own key is bad; here it is ours.
    let refused_ours = status == StatusCode::UNAUTHORIZED;
    let status = if refused_ours {
        StatusCode::BAD_GATEWAY
    } else {
        status
    };
    let bytes = match bytes {
        Some(bytes) if !refused_ours && is_openai(&bytes) => bytes,
        bytes => {
            headers.remove(header::CONTENT_ENCODING);
            let message = match reason(bytes.as_deref()) {
                _ if refused_ours => {
                    format!(
                        "{who} refused the control plane's credential: an administrator must check its key"
                    )
                }
                Some(reason) => format!("{who} answered {status}: {reason}"),
                None => format!("{who} answered {status} without a reason"),
            };
            serde_json::to_vec(&upstream_error(status, message))
                .unwrap_or_default()
                .into()
        }
    };
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    (status, headers, bytes)
}

fn upstream_error(status: StatusCode, message: String) -> ErrorBody {
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    ErrorBody {
        error: ErrorDetail {
            message,
            r#type: kind.to_owned(),
            param: None,
            code: Some("upstream_error".to_owned()),
        },
    }
}

/// Whether a body is an error in OpenAI's shape: an `error` with a `message`.
fn is_openai(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes)
        .is_ok_and(|body| body.pointer("/error/message").is_some_and(Value::is_string))
}

/// The reason in an error of another shape: `{"error": "…"}` (Ollama),
/// `{"message": "…"}` (vLLM of old), `{"detail": "…"}` (FastAPI).
fn reason(bytes: Option<&[u8]>) -> Option<String> {
    let body: Value = serde_json::from_slice(bytes?).ok()?;
    ["error", "message", "detail"]
        .iter()
        .find_map(|field| body.get(field)?.as_str().map(str::to_owned))
}

fn passed(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(PASSED.len());
    for name in &PASSED {
        if let Some(value) = from.get(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    let limits = from
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-ratelimit-"));
    headers.extend(limits.map(|(name, value)| (name.clone(), value.clone())));
    if is_event_stream(&headers) {
        // An error event may be added at the end.
        headers.remove(header::CONTENT_LENGTH);
    }
    headers
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

#[cfg(test)]
mod tests {
    use helix_base::ManualClock;
    use helix_proto::TypedId as _;

    use super::*;
    use crate::inference::body::Patience;

    async fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Opened {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let body = Full::new(Bytes::from(body))
            .map_err(|never| match never {})
            .boxed_unsync();
        let patience = Patience {
            client: Duration::from_secs(9),
            upstream: Duration::from_secs(9),
        };
        let watch = Watch::new(Arc::new(ManualClock::new(0)), patience);
        let source = Source {
            id: RequestId::from_parts(1, 1),
            who: "provider `x`".into(),
            hold: Box::new(NoPlace),
        };
        opened(&watch, response.body(body).unwrap(), source)
            .await
            .unwrap()
    }

    async fn text(opened: Opened) -> String {
        String::from_utf8(opened.body.collect().await.unwrap().to_bytes().into()).unwrap()
    }

    #[tokio::test]
    async fn only_headers_that_concern_the_client_are_passed_on() {
        let opened = answer(
            200,
            &[
                ("content-type", "application/json"),
                ("content-length", "2"),
                ("set-cookie", "a=b"),
                ("access-control-allow-origin", "*"),
                ("x-ratelimit-remaining-tokens", "7"),
            ],
            "{}",
        )
        .await;
        let mut names: Vec<_> = opened.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "content-length",
                "content-type",
                "x-ratelimit-remaining-tokens"
            ]
        );
        assert_eq!(text(opened).await, "{}");
    }

    #[tokio::test]
    async fn an_error_in_openais_shape_stays_as_it_is() {
        let body = r#"{"error":{"message":"context too long","code":"context_length_exceeded","n_ctx":512}}"#;
        let opened = answer(400, &[], body).await;
        assert_eq!(opened.status, StatusCode::BAD_REQUEST);
        assert_eq!(text(opened).await, body);
    }

    #[tokio::test]
    async fn an_error_of_any_other_shape_gets_openais_and_keeps_its_reason() {
        for (body, expected) in [
            (
                r#"{"error":"no such model"}"#,
                "answered 404 Not Found: no such model",
            ),
            (
                r#"{"object":"error","message":"too long"}"#,
                "answered 404 Not Found: too long",
            ),
            (
                "<html>nginx</html>",
                "answered 404 Not Found without a reason",
            ),
            ("", "answered 404 Not Found without a reason"),
        ] {
            let opened = answer(404, &[("content-type", "text/html")], body).await;
            assert_eq!(opened.headers[header::CONTENT_TYPE], "application/json");
            let told: ErrorBody = serde_json::from_str(&text(opened).await).unwrap();
            assert_eq!(told.error.message, format!("provider `x` {expected}"));
        }
    }

    #[tokio::test]
    async fn a_provider_that_refuses_our_key_does_not_make_the_clients_key_look_bad() {
        let opened = answer(401, &[], r#"{"error":{"message":"bad key sk-1"}}"#).await;
        assert_eq!(opened.status, StatusCode::BAD_GATEWAY);
        let body = text(opened).await;
        assert!(
            body.contains("an administrator must check its key"),
            "{body}"
        );
        assert!(!body.contains("sk-1"), "{body}");
    }
}
