//! How many tokens a conversation has, asked of an engine that runs already.

use std::time::Duration;

use helix_dialects::chat::Upstream;
use helix_proto::model::EngineKind;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Inference, driver::Dispatched, routes::Route};
use crate::fleet::Client;

/// How long the engine may take: it only counts.
const WITHIN: Duration = Duration::from_secs(5);

/// What llama.cpp makes of a conversation.
#[derive(Debug, Deserialize)]
struct Applied {
    prompt: String,
}

/// What llama.cpp answers to `/tokenize`.
#[derive(Debug, Deserialize)]
struct Tokens {
    tokens: Vec<Value>,
}

/// What vLLM answers to `/tokenize`.
#[derive(Debug, Deserialize)]
struct Counted {
    count: u64,
}

impl Inference {
    /// Who would answer for a name, as far as requests differ.
    pub(crate) fn upstream(&self, name: &str, otherwise: Option<&str>) -> Upstream {
        match self.routes().resolve_or(name, otherwise) {
            Some(Route::Provider(provider, _)) if provider.is_openai() => Upstream::OpenAi,
            _ => Upstream::Engine,
        }
    }

    /// How many tokens a chat completion's request has, by the engine that would answer it.
    /// `None` where there is none that counts: a provider, an engine that has no such endpoint, a
    /// model that does not run now (it is not started for this).
    pub(crate) async fn count_tokens(&self, chat: &Value, otherwise: Option<&str>) -> Option<u64> {
        let name = chat["model"].as_str()?;
        let Some(Route::Model(model)) = self.routes().resolve_or(name, otherwise) else {
            return None;
        };
        if !matches!(model.engine, EngineKind::LlamaCpp | EngineKind::Vllm) {
            return None;
        }
        let at = self.inner.driver.ready(model.id)?;
        let client = self.inner.fleet.client(at.runner).ok()?;
        let name = at.engine_model.as_deref().unwrap_or(&model.name);
        let asking = async {
            let tools = &chat["tools"];
            let mut talk = json!({"model": name, "messages": chat["messages"]});
            if !tools.is_null() {
                talk["tools"] = tools.clone();
            }
            if model.engine == EngineKind::Vllm {
                let counted: Counted = self.asked(&client, &at, "tokenize", &talk).await?;
                return Some(counted.count);
            }
            let applied: Applied = self.asked(&client, &at, "apply-template", &talk).await?;
            // The template names its special tokens in the text.
            let text =
                json!({"content": applied.prompt, "add_special": true, "parse_special": true});
            let tokens: Tokens = self.asked(&client, &at, "tokenize", &text).await?;
            Some(tokens.tokens.len() as u64)
        };
        tokio::time::timeout(WITHIN, asking).await.ok().flatten()
    }

    async fn asked<T: DeserializeOwned>(
        &self,
        client: &Client,
        at: &Dispatched,
        path: &str,
        body: &Value,
    ) -> Option<T> {
        let answer = client.engine_json(at.instance, path, body, WITHIN);
        match answer.await {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::debug!(instance = %at.instance, %error, "the engine does not count tokens");
                None
            }
        }
    }
}
