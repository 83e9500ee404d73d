//! What programs ask of a desktop, without a socket.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use helix_stream::serve::Media;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) mime: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|why| panic!("{why}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// What the error says.
    pub(crate) fn why(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn send(
    media: &Media,
    method: Method,
    path: &str,
    mime: &str,
    body: impl Into<Body>,
) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, mime)
        .body(body.into())
        .unwrap();
    let answer = media.router().oneshot(request).await.unwrap();
    let status = answer.status();
    let mime = answer.headers().get(header::CONTENT_TYPE);
    let mime = mime.map(|mime| mime.to_str().unwrap().to_owned());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Answer {
        status,
        mime: mime.unwrap_or_default(),
        body: body.to_vec(),
    }
}

pub(crate) async fn get(media: &Media, path: &str) -> Answer {
    send(media, Method::GET, path, "", Body::empty()).await
}

pub(crate) async fn json(media: &Media, method: Method, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    send(media, method, path, "application/json", body).await
}
