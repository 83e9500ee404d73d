use std::time::Duration;

use helix_base::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use super::{Error, Readiness};

/// No control call to an engine takes longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A running engine's HTTP API, for control calls. Requests of users take the
/// leaner path through the runner's router.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The base of the API, without `/v1`.
    pub url: Url,
    /// The secret that requests must carry.
    pub key: Option<SecretString>,
    /// What to call with.
    pub client: reqwest::Client,
}

impl Endpoint {
    /// A request to `path` below the base.
    pub fn request(&self, method: http::Method, path: &str) -> reqwest::RequestBuilder {
        let base = self.url.as_str().trim_end_matches('/');
        let request = self.client.request(method, format!("{base}{path}"));
        match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        }
    }

    /// Asks for a page that an engine answers with success once it is ready,
    /// and with 503 while it loads.
    pub(super) async fn probe(&self, path: &str) -> Result<Readiness, Error> {
        let response = match self
            .request(http::Method::GET, path)
            .timeout(CALL_TIMEOUT)
            .send()
            .await
        {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Ok(Readiness::Loading),
            Err(error) => {
                let why = if error.is_timeout() {
                    "no answer in 10 s"
                } else {
                    "the connection broke"
                };
                return Err(Error::Unhealthy(format!(
                    "the health check {path} failed: {why}"
                )));
            }
        };
        match response.status().as_u16() {
            200..300 => Ok(Readiness::Ready),
            503 => Ok(Readiness::Loading),
            status => Err(Error::Unhealthy(format!(
                "the health check {path} answered with status {status}"
            ))),
        }
    }

    /// Gets JSON; `None` when it does not come.
    pub(super) async fn get_json(&self, path: &str) -> Option<Value> {
        let request = self.request(http::Method::GET, path).timeout(CALL_TIMEOUT);
        request
            .send()
            .await
            .ok()?
            .error_for_status()
            .ok()?
            .json()
            .await
            .ok()
    }
}
