//! A client of the control plane.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use helix_base::{Outbound, OutboundOptions};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A question with an answer that goes on until someone stops it.
pub const ENDLESS: &str = "Tick until I stop you.";
/// A question, and its known answer.
pub const PARIS: (&str, &str) = (
    "What is the capital of France?",
    "The capital of France is Paris.",
);

/// Someone who talks to a control plane.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: Option<String>,
}

impl Client {
    /// Someone without a credential.
    ///
    /// # Panics
    /// When the machine's certificates cannot be read.
    pub fn stranger(url: &str) -> Self {
        let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
        Self {
            http: outbound.http().clone(),
            url: url.to_owned(),
            key: None,
        }
    }

    /// The same with an API key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    /// Where the control plane is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The API key.
    ///
    /// # Panics
    /// When there is none.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap()
    }

    /// A request to the control plane.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            // As a browser on the control plane's own pages.
            None => request.header("origin", &self.url),
        }
    }

    /// Reads something.
    ///
    /// # Panics
    /// When the answer is not what it should be.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        read(self.request(Method::GET, path).send().await.unwrap()).await
    }

    /// Sends something.
    ///
    /// # Panics
    /// When the answer is not what it should be.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> T {
        read(
            self.request(Method::POST, path)
                .json(body)
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    /// Sends something, whatever the answer is.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn try_post(&self, path: &str, body: &impl serde::Serialize) -> Response {
        self.request(Method::POST, path)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    /// Asks a model, whatever the answer is.
    pub async fn chat(&self, model: &str, question: &str) -> (StatusCode, Value) {
        let answer = self
            .try_post("/v1/chat/completions", &chat_body(model, question))
            .await;
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    /// Asks a model what it knows.
    ///
    /// # Panics
    /// When it does not answer that.
    pub async fn ask_for_paris(&self, model: &str) {
        let (status, answer) = self.chat(model, PARIS.0).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(
            answer["choices"][0]["message"]["content"], PARIS.1,
            "{answer}"
        );
    }

    /// Begins an answer that does not end by itself, and reads its beginning.
    ///
    /// # Panics
    /// When it does not begin.
    pub async fn endless(&self, model: &str) -> Answer {
        let mut body = chat_body(model, ENDLESS);
        body["stream"] = true.into();
        let response = self.try_post("/v1/chat/completions", &body).await;
        assert_eq!(
            response.status(),
            StatusCode::OK,
            "{:?}",
            response.text().await
        );
        let mut answer = Answer {
            response: Box::pin(response.bytes_stream()),
            text: String::new(),
        };
        answer.until("tick").await;
        answer
    }
}

/// The body of a request for a chat completion at temperature 0.
pub fn chat_body(model: &str, question: &str) -> Value {
    json!({
        "model": model,
        "messages": [{ "role": "user", "content": question }],
        "temperature": 0,
    })
}

async fn read<T: DeserializeOwned>(response: Response) -> T {
    let (status, url) = (response.status(), response.url().clone());
    let body = response.bytes().await.unwrap();
    assert!(
        status.is_success(),
        "{url}: {status} {}",
        String::from_utf8_lossy(&body)
    );
    let body: &[u8] = if body.is_empty() { b"null" } else { &body };
    serde_json::from_slice(body)
        .unwrap_or_else(|error| panic!("{url}: {error}: {}", String::from_utf8_lossy(body)))
}

type Bytestream = futures_util::stream::BoxStream<'static, reqwest::Result<Bytes>>;

/// A streamed answer.
#[expect(missing_debug_implementations, reason = "a stream has nothing to show")]
pub struct Answer {
    response: Bytestream,
    text: String,
}

impl Answer {
    /// Reads on until the raw answer has `text` in it.
    ///
    /// # Panics
    /// When it ends before, or takes longer than a minute.
    pub async fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            assert!(self.more().await, "ended without {text:?}: {}", self.text);
        }
    }

    /// Reads to the end; says what came in all.
    ///
    /// # Panics
    /// When nothing comes for a minute.
    pub async fn to_its_end(mut self) -> String {
        while self.more().await {}
        self.text
    }

    async fn more(&mut self) -> bool {
        let next = tokio::time::timeout(Duration::from_secs(60), self.response.next()).await;
        match next.expect("something comes within a minute") {
            Some(Ok(bytes)) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
            Some(Err(error)) => {
                self.text.push_str(&format!("\nCUT: {error}"));
                return false;
            }
            None => return false,
        }
        true
    }
}
