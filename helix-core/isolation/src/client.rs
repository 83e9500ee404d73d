//! Asking a guest, from the process that holds its sandbox.

mod events;
mod forwards;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use helix_proto::{
    ExecId,
    error::ErrorEnvelope,
    sandbox::guest::{Exec, ExecRequest, ExecResult, Output, SignalRequest},
};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio_util::io::ReaderStream;

pub use self::events::ExecEvents;
use crate::{Environment, Error, ErrorKind, HearOut};

/// The most that is taken of an answer: what is inside may say anything.
const LONGEST_ANSWER: usize = 16 << 20;

/// How much of a file is sent at once.
const CHUNK: usize = 128 << 10;

/// Asks what runs inside one sandbox. Each request is a connection of its own.
#[derive(Debug, Clone)]
pub struct GuestClient {
    sandbox: Arc<dyn Environment>,
    patience: Duration,
}

impl GuestClient {
    /// For a sandbox that runs. An answer must be whole within a minute.
    pub fn new(sandbox: Arc<dyn Environment>) -> Self {
        Self {
            sandbox,
            patience: Duration::from_secs(60),
        }
    }

    /// Waits so long for an answer.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// One request, and its whole answer, of up to 16 MiB.
    ///
    /// # Errors
    ///
    /// Where the sandbox does not run, or what is inside does not answer in time or in
    /// HTTP. An answer with any status is no error.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, Error> {
        self.exchange(method, path, Full::new(body)).await
    }

    async fn exchange<B>(
        &self,
        method: Method,
        path: &str,
        body: B,
    ) -> Result<Response<Bytes>, Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "guest")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|why| failed(ErrorKind::Invalid, &why))?;
        tokio::time::timeout(self.patience, self.send(request))
            .await
            .map_err(|_| Error::new(ErrorKind::Timeout, "the sandbox does not answer"))?
    }

    async fn send<B>(&self, request: Request<B>) -> Result<Response<Bytes>, Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let connection = self.sandbox.connect().await?;
        let connection = TokioIo::new(HearOut::new(connection));
        let (mut sender, driver) = hyper::client::conn::http1::handshake(connection)
            .await
            .map_err(|why| failed(ErrorKind::Failed, &why))?;
        let answered = async {
            let answer = sender.send_request(request).await;
            whole(answer.map_err(|why| failed(ErrorKind::Failed, &why))?).await
        };
        // The connection makes progress only while it is polled too.
        let mut answered = std::pin::pin!(answered);
        tokio::select! {
            biased;
            answered = &mut answered => answered,
            // Ended in order: the answer may be there already.
            ended = driver => match ended {
                Ok(()) => answered.await,
                Err(why) => Err(failed(ErrorKind::Failed, &why)),
            },
        }
    }

    async fn ask_for(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Error> {
        succeeded(self.ask(method, path, body).await?)
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), and where the program cannot be started.
    pub async fn exec(&self, request: &ExecRequest) -> Result<ExecResult, Error> {
        let answer = self.ask_for(Method::POST, "/exec", json(request)?).await?;
        serde_json::from_slice(&answer).map_err(|why| failed(ErrorKind::Failed, &why))
    }

    /// Starts a program in the background, as the request must say.
    ///
    /// # Errors
    ///
    /// As [`exec`](Self::exec).
    pub async fn begin(&self, request: &ExecRequest) -> Result<Exec, Error> {
        let answer = self.ask_for(Method::POST, "/exec", json(request)?).await?;
        serde_json::from_slice(&answer).map_err(|why| failed(ErrorKind::Failed, &why))
    }

    /// A program that was started.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), and where it is not known, or not any more.
    pub async fn program(&self, id: ExecId) -> Result<Exec, Error> {
        let path = format!("/exec/{id}");
        let answer = self.ask_for(Method::GET, &path, Bytes::new()).await?;
        serde_json::from_slice(&answer).map_err(|why| failed(ErrorKind::Failed, &why))
    }

    /// Gives a program input, all of it.
    ///
    /// # Errors
    ///
    /// As [`program`](Self::program), and where it has ended or does not read. Part of it may
    /// have been read then.
    pub async fn input(&self, id: ExecId, input: Bytes) -> Result<(), Error> {
        let path = format!("/exec/{id}/stdin");
        self.ask_for(Method::POST, &path, input).await.map(drop)
    }

    /// Sends a program a signal, such as `TERM`.
    ///
    /// # Errors
    ///
    /// As [`program`](Self::program), and where it has ended.
    pub async fn signal(&self, id: ExecId, signal: &str) -> Result<(), Error> {
        let request = SignalRequest {
            signal: signal.to_owned(),
        };
        let path = format!("/exec/{id}/signal");
        self.ask_for(Method::POST, &path, json(&request)?)
            .await
            .map(drop)
    }

    /// Kills a program with everything that it started. Idempotent.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub async fn kill(&self, id: ExecId) -> Result<(), Error> {
        let path = format!("/exec/{id}");
        self.ask_for(Method::DELETE, &path, Bytes::new())
            .await
            .map(drop)
    }

    /// Follows what a program does, from the first event after `after` to its last.
    ///
    /// # Errors
    ///
    /// As [`program`](Self::program).
    pub async fn follow(&self, id: ExecId, after: u64) -> Result<ExecEvents, Error> {
        let connecting = self.sandbox.connect();
        tokio::time::timeout(self.patience, async {
            ExecEvents::open(connecting.await?, id, after).await
        })
        .await
        .map_err(|_| Error::new(ErrorKind::Timeout, "the sandbox does not answer"))?
    }

    /// Runs a program as a user with no input, and returns its exit code and what it wrote.
    ///
    /// # Errors
    ///
    /// As [`exec`](Self::exec).
    pub async fn run(&self, user: &str, command: &[&str]) -> Result<(Option<i32>, String), Error> {
        let request = ExecRequest {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            env: Default::default(),
            cwd: Some("/".to_owned()),
            user: Some(user.to_owned()),
            stdin: None,
            timeout_ms: Some(u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX)),
            stream: false,
            background: false,
            waits: false,
        };
        let result = self.exec(&request).await?;
        let mut said = text(result.stdout);
        said.push_str(&text(result.stderr));
        Ok((result.exit.code, said))
    }

    /// Writes a file, with the directories it needs. `path` is percent-encoded.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), and where the user may not, or the disk is full.
    pub async fn write(
        &self,
        user: &str,
        path: &str,
        mode: u32,
        content: Bytes,
    ) -> Result<(), Error> {
        let path = format!("/files/content?path={path}&parents=true&mode={mode:o}&user={user}");
        self.ask_for(Method::PUT, &path, content).await.map(drop)
    }

    /// Writes a file as [`write`](Self::write) does, from one of this machine, of any length.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and where the file cannot be read.
    pub async fn write_from(
        &self,
        user: &str,
        path: &str,
        mode: u32,
        from: tokio::fs::File,
    ) -> Result<(), Error> {
        let path = format!("/files/content?path={path}&parents=true&mode={mode:o}&user={user}");
        let chunks = ReaderStream::with_capacity(from, CHUNK).map_ok(Frame::data);
        let answer = self.exchange(Method::PUT, &path, StreamBody::new(chunks));
        succeeded(answer.await?).map(drop)
    }

    /// Reads a file of up to 16 MiB. `path` is percent-encoded.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), and where there is no such file.
    pub async fn read(&self, user: &str, path: &str) -> Result<Bytes, Error> {
        let path = format!("/files/content?path={path}&user={user}");
        self.ask_for(Method::GET, &path, Bytes::new()).await
    }
}

fn succeeded(answer: Response<Bytes>) -> Result<Bytes, Error> {
    if answer.status().is_success() {
        return Ok(answer.into_body());
    }
    let said = match serde_json::from_slice::<ErrorEnvelope>(answer.body()) {
        Ok(envelope) => envelope.error.message,
        Err(_) => String::from_utf8_lossy(answer.body()).into_owned(),
    };
    let kind = match answer.status() {
        StatusCode::NOT_FOUND => ErrorKind::NotFound,
        StatusCode::CONFLICT => ErrorKind::Conflict,
        StatusCode::INSUFFICIENT_STORAGE => ErrorKind::Full,
        status if status.is_client_error() => ErrorKind::Invalid,
        _ => ErrorKind::Failed,
    };
    Err(Error::new(
        kind,
        format!("{}: {}", answer.status(), shown(&said)),
    ))
}

/// A beginning of what a sandbox says, as one line that is safe to show: in it may be names that
/// programs inside chose, and a terminal obeys control characters.
fn shown(said: &str) -> String {
    let mut line = String::new();
    for char in said.chars().take(500) {
        if char.is_control() {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
    }
    line
}

async fn whole(answer: Response<Incoming>) -> Result<Response<Bytes>, Error> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await;
    let body = body.map_err(|why| failed(ErrorKind::Failed, &why))?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

fn json<T: Serialize>(what: &T) -> Result<Bytes, Error> {
    let text = serde_json::to_vec(what).map_err(|why| failed(ErrorKind::Invalid, &why))?;
    Ok(text.into())
}

fn text(output: Output) -> String {
    match output {
        Output::Text(text) | Output::Base64(text) => text,
    }
}

fn failed(kind: ErrorKind, why: &dyn fmt::Display) -> Error {
    Error::new(kind, format!("asking the sandbox: {why}"))
}
