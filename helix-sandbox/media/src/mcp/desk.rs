//! The process that serves the desktop, asked by its socket.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use helix_base::TaskGroup;
use helix_proto::error::ErrorEnvelope;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};

/// How long an answer may take: actions may wait for others, and then take as long themselves.
const WITHIN: Duration = Duration::from_secs(75);
/// Bytes of an answer at most: a picture of a large desktop.
const MOST: usize = 128 << 20;

/// What was answered, when it went well.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) mime: String,
    pub(super) body: Bytes,
}

/// The process that serves the desktop.
#[derive(Debug)]
pub(super) struct Desk {
    socket: PathBuf,
    tasks: TaskGroup,
}

impl Desk {
    pub(super) fn new(socket: PathBuf) -> Self {
        let tasks = TaskGroup::new();
        Self { socket, tasks }
    }

    /// Asks it; a body has its type. What went wrong is for people.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Answer, String> {
        let answer = timeout(WITHIN, self.exchange(method, path, body)).await;
        let answer = answer.map_err(|_| "the desktop does not answer".to_owned())??;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let own = serde_json::from_slice::<ErrorEnvelope>(&answer.body);
        Err(own.map_or_else(
            |_| format!("the desktop answers {}", answer.status),
            |envelope| envelope.error.message,
        ))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Answer, String> {
        let failed = |why: &dyn std::fmt::Display| format!("the desktop cannot be asked: {why}");
        let stream = UnixStream::connect(&self.socket).await.map_err(|why| {
            let socket = self.socket.display();
            format!("there is no desktop at {socket}: {why}")
        })?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost");
        if let Some((mime, _)) = &body {
            request = request.header(header::CONTENT_TYPE, *mime);
        }
        let body = body.map(|(_, body)| Bytes::from(body)).unwrap_or_default();
        let request = request.body(Full::new(body)).map_err(|why| failed(&why))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|why| failed(&why))?;
        // It ends with the sender.
        self.tasks.spawn("desk", connection);
        let answer = sender.send_request(request).await;
        let (parts, body) = answer.map_err(|why| failed(&why))?.into_parts();
        let mime = parts.headers.get(header::CONTENT_TYPE);
        let mime = mime.and_then(|mime| mime.to_str().ok());
        let body = Limited::new(body, MOST).collect().await;
        Ok(Answer {
            status: parts.status,
            mime: mime.unwrap_or_default().to_owned(),
            body: body.map_err(|why| failed(&why))?.to_bytes(),
        })
    }
}
