//! The first administrator, over the control plane's own API.

use anyhow::{Context as _, Result, ensure};
use helix_proto::auth::{CreateApiKeyRequest, CreatedApiKey, RegisterRequest, Scope};
use helix_server::App;
use reqwest::{Client, RequestBuilder};
use serde::{Serialize, de::DeserializeOwned};

/// Someone who may do everything.
pub(crate) struct Admin {
    http: Client,
    url: String,
    key: String,
}

impl Admin {
    /// Makes the account by the one-time set-up link, and an API key.
    pub(crate) async fn first(app: &App) -> Result<Self> {
        let http = app.foundation().outbound.http().clone();
        let url = app.foundation().public_url.to_string();
        let link = app
            .setup_link()
            .context("there is an administrator already")?;
        let request = RegisterRequest {
            email: "admin@example.com".to_owned(),
            name: "Administrator".to_owned(),
            password: "a long enough password".to_owned(),
            setup_token: link
                .rsplit_once("token=")
                .map(|(_, token)| token.to_owned()),
        };
        let register = http
            .post(format!("{url}/api/v1/auth/register"))
            .header("origin", &url);
        let registered = register.json(&request).send().await?.error_for_status()?;
        let cookie = registered
            .headers()
            .get("set-cookie")
            .context("no cookie")?
            .to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default();
        let request = CreateApiKeyRequest {
            name: "example".to_owned(),
            scopes: vec![Scope::Inference, Scope::Admin],
            expires_at_ms: None,
        };
        let make = http
            .post(format!("{url}/api/v1/api-keys"))
            .header("origin", &url);
        let created: CreatedApiKey = read(make.header("cookie", cookie).json(&request)).await?;
        Ok(Self {
            http,
            url,
            key: created.secret,
        })
    }

    /// Where the control plane is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends something.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let request = self.http.post(format!("{}{path}", self.url));
        read(request.bearer_auth(&self.key).json(body)).await
    }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T> {
    let answer = request.send().await?;
    let (status, url) = (answer.status(), answer.url().clone());
    let text = answer.text().await?;
    ensure!(status.is_success(), "{url}: {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("reading the answer of {url}"))
}
