//! The control plane's API, as far as `up` needs it.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use helix_proto::{
    auth::{AuthConfig, SignInLink},
    error::ErrorEnvelope,
};
use serde::{Serialize, de::DeserializeOwned};
use ureq::{Agent, Body, http::Response};

/// A client of one control plane on this machine.
#[derive(Debug)]
pub(crate) struct Api {
    agent: Agent,
    url: String,
    key: Option<String>,
}

impl Api {
    /// A client without a credential.
    pub(crate) fn new(url: &str) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            // It is on this machine: no proxy leads there.
            .proxy(None);
        Self {
            agent: config.build().into(),
            url: url.to_owned(),
            key: None,
        }
    }

    /// The same client with an API key.
    pub(crate) fn with_key(self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self
        }
    }

    /// Whether the control plane takes requests.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "it is one of the things that `up` waits for"
    )]
    pub(crate) fn is_ready(&self) -> Result<bool> {
        let answer = self.agent.get(format!("{}/readyz", self.url)).call();
        Ok(answer.is_ok_and(|answer| answer.status().is_success()))
    }

    /// What is known before anyone signed in.
    pub(crate) fn auth_config(&self) -> Result<AuthConfig> {
        self.get("/api/v1/auth/config")
    }

    /// Makes a one-time link that signs the key's owner in.
    pub(crate) fn sign_in_link(&self) -> Result<String> {
        let link: SignInLink = self.post("/api/v1/auth/links", &serde_json::json!({}))?;
        Ok(link.url)
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Reads something.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.get_with(path, self.key.as_deref().unwrap_or_default())
    }

    /// Reads something with a key of its own; without one, if it is empty.
    pub(crate) fn get_with<T: DeserializeOwned>(&self, path: &str, key: &str) -> Result<T> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = match key {
            "" => request,
            key => request.header("authorization", format!("Bearer {key}")),
        };
        answer("GET", path, request.call())
    }

    /// Sends something.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        answer("POST", path, self.send(path, None, body))
    }

    /// Writes a file.
    pub(crate) fn put(&self, path: &str, file: std::fs::File) -> Result<()> {
        let key = self.key.as_deref().unwrap_or_default();
        let request = self.agent.put(format!("{}{path}", self.url));
        let sent = request
            .header("authorization", format!("Bearer {key}"))
            .send(file);
        checked("PUT", path, sent).map(drop)
    }

    /// Deletes something.
    pub(crate) fn delete(&self, path: &str) -> Result<()> {
        let key = self.key.as_deref().unwrap_or_default();
        let request = self.agent.delete(format!("{}{path}", self.url));
        let sent = request
            .header("authorization", format!("Bearer {key}"))
            .call();
        checked("DELETE", path, sent).map(drop)
    }

    /// Sends something as someone who signed in, with the cookie for that.
    pub(crate) fn post_signed_in<T: DeserializeOwned>(
        &self,
        path: &str,
        cookie: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        answer("POST", path, self.send(path, Some(cookie), body))
    }

    /// Signs in or registers; answers the session's cookie.
    pub(crate) fn session_cookie(&self, path: &str, body: &impl Serialize) -> Result<String> {
        let response = checked("POST", path, self.send(path, None, body))?;
        let cookie = response
            .headers()
            .get("set-cookie")
            .and_then(|value| value.to_str().ok());
        let cookie = cookie.and_then(|cookie| cookie.split(';').next());
        cookie
            .map(ToOwned::to_owned)
            .with_context(|| format!("POST {path} set no cookie"))
    }

    fn send(
        &self,
        path: &str,
        cookie: Option<&str>,
        body: &impl Serialize,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.post(format!("{}{path}", self.url));
        // As a browser on the control plane's own pages would say.
        request = request.header("origin", &self.url);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        request.send_json(body)
    }
}

fn answer<T: DeserializeOwned>(
    method: &str,
    path: &str,
    sent: Result<Response<Body>, ureq::Error>,
) -> Result<T> {
    let mut response = checked(method, path, sent)?;
    response
        .body_mut()
        .read_json()
        .with_context(|| format!("reading the answer of {method} {path}"))
}

/// Turns an error answer into an error that carries its message.
fn checked(
    method: &str,
    path: &str,
    sent: Result<Response<Body>, ureq::Error>,
) -> Result<Response<Body>> {
    let mut response = sent.with_context(|| format!("{method} {path}"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    match response.body_mut().read_json::<ErrorEnvelope>() {
        Ok(envelope) => {
            Err(anyhow!(envelope.error.message).context(format!("{method} {path}: {status}")))
        }
        Err(_) => bail!("{method} {path}: {status}"),
    }
}
