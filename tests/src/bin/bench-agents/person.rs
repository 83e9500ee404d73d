//! Somebody who has sessions with an agent in a sandbox.

use anyhow::{Context as _, Result, ensure};
use helix_base::{ExposeSecret as _, Outbound, OutboundOptions, SecretString, outbound::BoxedIo};
use helix_proto::{
    SessionId, TurnId,
    session::{PromptAccepted, Session},
};
use reqwest::{
    Method,
    header::{AUTHORIZATION, HeaderMap},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::WebSocketConfig};

use crate::AGENT;

/// A WebSocket of the control plane.
pub(crate) type Socket = WebSocketStream<BoxedIo>;

/// Somebody, by their API key. They are an administrator, too.
pub(crate) struct Person {
    url: String,
    key: SecretString,
    sandbox: String,
    outbound: Outbound,
}

impl Person {
    pub(crate) fn new(url: &str, key: &SecretString, sandbox: &str) -> Result<Self> {
        Ok(Self {
            url: url.to_owned(),
            key: key.clone(),
            sandbox: sandbox.to_owned(),
            outbound: Outbound::new(&OutboundOptions::default())?,
        })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T> {
        let url = format!("{}{path}", self.url);
        let mut request = self.outbound.http().request(method.clone(), url);
        request = request.bearer_auth(self.key.expose_secret());
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("{method} {path} answered {text}"))
    }

    /// Has the catalogue name the agent of this bench.
    pub(crate) async fn publish_agent(&self) -> Result<()> {
        let agent = json!({
            "title": "Bench", "model_api": "chat_completions",
            "command": ["python3", "-c", AGENT], "install": [], "environment": [],
        });
        let path = "/api/v1/agents/bench";
        self.call::<Value>(Method::PUT, path, &agent)
            .await
            .map(drop)
    }

    pub(crate) async fn begin(&self) -> Result<SessionId> {
        let agent = json!({ "agent": "bench", "sandbox_id": self.sandbox });
        let body = json!({ "model": "none", "agent": agent });
        let session: Session = self.call(Method::POST, "/api/v1/sessions", &body).await?;
        Ok(session.id)
    }

    pub(crate) async fn session(&self, id: SessionId) -> Result<Session> {
        let path = format!("/api/v1/sessions/{id}");
        self.call(Method::GET, &path, &Value::Null).await
    }

    /// Asks the agent something, and answers the turn.
    pub(crate) async fn prompt(&self, id: SessionId, text: &str) -> Result<TurnId> {
        let path = format!("/api/v1/sessions/{id}/prompts");
        let body = json!({ "content": [{ "type": "text", "text": text }] });
        let accepted: PromptAccepted = self.call(Method::POST, &path, &body).await?;
        Ok(accepted.turn_id)
    }

    /// The sum of a counter's series.
    pub(crate) async fn counter(&self, name: &str) -> Result<f64> {
        let request = self.outbound.http().get(format!("{}/metrics", self.url));
        let request = request.bearer_auth(self.key.expose_secret());
        let text = request.send().await?.error_for_status()?.text().await?;
        let of_it = text.lines().filter(|line| line.starts_with(name));
        Ok(of_it
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// The log of a session as server-sent events.
    pub(crate) async fn events(&self, id: SessionId) -> Result<reqwest::Response> {
        let url = format!("{}/api/v1/sessions/{id}/events?after=0", self.url);
        let request = self.outbound.http().get(url);
        let request = request.bearer_auth(self.key.expose_secret());
        Ok(request.send().await?.error_for_status()?)
    }

    /// A WebSocket as this person.
    pub(crate) async fn socket(&self) -> Result<Socket> {
        self.dial("/api/v1/ws/user", &self.key).await
    }

    /// A WebSocket as somebody else.
    pub(crate) async fn dial(&self, path: &str, credential: &SecretString) -> Result<Socket> {
        let bearer = format!("Bearer {}", credential.expose_secret());
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer.parse()?);
        let url = format!("{}{path}", self.url.replacen("http", "ws", 1));
        let config = WebSocketConfig::default().write_buffer_size(0);
        let outbound = &self.outbound;
        Ok(outbound
            .websocket_with(&url.parse()?, headers, config)
            .await?)
    }
}
