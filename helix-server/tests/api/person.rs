//! Someone who calls the API.

use helix_proto::{
    ApiError, ErrorCode,
    auth::{CreatedApiKey, Scope},
    error::ErrorEnvelope,
};
use http::{HeaderMap, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How a caller proves who it is.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    None,
    Cookie(String),
    Bearer(String),
}

/// Someone who calls the API.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) proof: Proof,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: bytes::Bytes,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.body))
    }

    /// The body of an answer with this status.
    pub(crate) fn expect<T: DeserializeOwned>(&self, status: u16) -> T {
        assert_eq!(self.status, status, "{:?}", self.body);
        self.json()
    }

    /// The error of an answer that is one, which names the request.
    pub(crate) fn error(&self, code: ErrorCode) -> ApiError {
        let error = self.expect::<ErrorEnvelope>(code.http_status()).error;
        assert_eq!(error.code, code);
        let id = self.headers["x-request-id"].to_str().unwrap();
        assert_eq!(error.request_id.as_deref(), Some(id));
        error
    }

    pub(crate) fn cookie(&self) -> String {
        let cookie = self.headers[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

impl Person {
    pub(crate) fn with(&self, proof: Proof) -> Self {
        Self {
            proof,
            ..self.clone()
        }
    }

    /// A request with this person's proof, as a browser on the own page sends it.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.proof {
            Proof::None => request,
            Proof::Cookie(cookie) => request
                .header(header::COOKIE, cookie)
                .header("sec-fetch-site", "same-origin"),
            Proof::Bearer(secret) => request.bearer_auth(secret),
        }
    }

    pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer {
            status,
            headers,
            body: response.bytes().await.unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Self::send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Self::send(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        Self::send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// A key of this person's.
    pub(crate) async fn key(&self, scopes: &[Scope]) -> CreatedApiKey {
        let body = json!({"name": "test", "scopes": scopes});
        self.post("/api/v1/api-keys", body).await.expect(201)
    }
}
