//! Providers: other places that answer, reached by URL.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use helix_base::{ExposeSecret as _, Outbound, SecretString};
use helix_proto::model;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use url::Url;

use super::{
    Endpoint, Error,
    body::{self, Upstream},
};
use crate::options::ProviderOptions;

/// A provider that cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("provider `{name}`: {reason}")]
pub(crate) struct ProviderError {
    name: String,
    reason: &'static str,
}

/// One provider, ready to be asked.
#[derive(Debug)]
pub(crate) struct Provider {
    name: String,
    /// For messages.
    who: Arc<str>,
    base_url: Url,
    /// For [`Endpoint::ALL`].
    uris: [Uri; 3],
    headers: HeaderMap,
    models: Vec<String>,
    timeout: Option<Duration>,
}

impl Provider {
    /// Checks the options and prepares what is the same for each request.
    pub(crate) fn new(options: &ProviderOptions) -> Result<Self, ProviderError> {
        let fail = |reason| ProviderError {
            name: options.name.clone(),
            reason,
        };
        if options.name.is_empty() || options.name.contains('/') {
            return Err(fail("its name must not be empty and have no `/` in it"));
        }
        let base = options.base_url.as_str().trim_end_matches('/');
        let uri = |endpoint: Endpoint| format!("{base}/{}", endpoint.path()).parse::<Uri>();
        let [Ok(chat), Ok(completions), Ok(embeddings)] = Endpoint::ALL.map(uri) else {
            return Err(fail("its base URL cannot be used"));
        };
        if !options.base_url.username().is_empty() || options.base_url.password().is_some() {
            return Err(fail("its base URL holds credentials; set `api_key`"));
        }
        if !matches!(options.base_url.scheme(), "http" | "https") {
            return Err(fail("its base URL must begin with `http://` or `https://`"));
        }
        Ok(Self {
            name: options.name.clone(),
            who: format!("provider `{}`", options.name).into(),
            base_url: options.base_url.clone(),
            uris: [chat, completions, embeddings],
            headers: headers(options.api_key.as_ref())
                .ok_or_else(|| fail("its API key has characters in it that no header may have"))?,
            models: options.models.clone(),
            timeout: options.timeout,
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What messages call it.
    pub(super) const fn who(&self) -> &Arc<str> {
        &self.who
    }

    /// Whether it is OpenAI's own service, also as Azure offers it: that refuses fields that
    /// others pass over.
    pub(crate) fn is_openai(&self) -> bool {
        let host = self.base_url.host_str().unwrap_or_default();
        host == "api.openai.com" || host.ends_with(".openai.azure.com")
    }

    /// Whether `model`, in its own words, may be asked of it.
    pub(crate) fn offers(&self, model: &str) -> bool {
        !model.is_empty() && (self.models.is_empty() || self.lists(model))
    }

    /// Whether it is configured to have `model`.
    pub(crate) fn lists(&self, model: &str) -> bool {
        self.models.iter().any(|it| it == model)
    }

    /// The names by which its models can be asked for.
    pub(crate) fn offered(&self) -> Vec<String> {
        if self.models.is_empty() {
            return vec![format!("{}/…", self.name)];
        }
        self.listed()
    }

    /// The names of the models it is configured to have.
    pub(crate) fn listed(&self) -> Vec<String> {
        self.models
            .iter()
            .map(|model| format!("{}/{model}", self.name))
            .collect()
    }

    /// What people see of it.
    pub(crate) fn describe(&self) -> model::Provider {
        model::Provider {
            name: self.name.clone(),
            base_url: self.base_url.to_string(),
            models: self.models.clone(),
        }
    }

    /// Sends a request; returns with the headers of the answer.
    pub(super) async fn open(
        &self,
        outbound: &Outbound,
        endpoint: Endpoint,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response<Upstream>, Error> {
        let after = self.timeout.unwrap_or(timeout);
        let asking = async {
            let mut request = Request::new(Full::new(body));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = self.uris[endpoint as usize].clone();
            *request.headers_mut() = self.headers.clone();
            let response = outbound.request(request).await;
            let response = response.map_err(|error| Error::Upstream {
                who: self.who.to_string(),
                reason: error.to_string(),
            })?;
            Ok(response.map(body::upstream))
        };
        let answered = tokio::time::timeout(after, asking).await;
        answered.unwrap_or_else(|_| {
            Err(Error::Silent {
                who: self.who.to_string(),
                after,
            })
        })
    }

    /// A provider for tests of the table.
    #[cfg(test)]
    pub(super) fn scripted(name: &str, models: &[&str]) -> Arc<Self> {
        let options: ProviderOptions = serde_json::from_value(serde_json::json!({
            "name": name, "base_url": "http://127.0.0.1:9/v1", "models": models,
        }))
        .unwrap();
        Arc::new(Self::new(&options).unwrap())
    }
}

/// All configured providers.
pub(super) fn providers(options: &[ProviderOptions]) -> Result<Vec<Arc<Provider>>, ProviderError> {
    let mut providers: Vec<Arc<Provider>> = Vec::with_capacity(options.len());
    for options in options {
        if providers.iter().any(|it| it.name == options.name) {
            let name = options.name.clone();
            return Err(ProviderError {
                name,
                reason: "another one has the same name",
            });
        }
        providers.push(Arc::new(Provider::new(options)?));
    }
    Ok(providers)
}

fn headers(api_key: Option<&SecretString>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("helix/", env!("CARGO_PKG_VERSION"))),
    );
    if let Some(key) = api_key {
        let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).ok()?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_that_cannot_be_used_is_refused_without_repeating_it() {
        for (base_url, reason) in [
            ("ftp://127.0.0.1/v1", "must begin with"),
            ("http://alice:secret@127.0.0.1/v1", "set `api_key`"),
        ] {
            let options = serde_json::json!({ "name": "other", "base_url": base_url });
            let error = Provider::new(&serde_json::from_value(options).unwrap()).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(reason), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
