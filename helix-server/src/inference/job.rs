//! What is asked of [`super::Inference`], and what comes back.

use std::{sync::Arc, time::Duration};

use helix_proto::{RequestId, UserId, openai::RequestBody, queue::Priority};
use http::{HeaderMap, StatusCode};
use tokio::sync::watch;

use super::BodyStream;

/// Which of OpenAI's endpoints is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/embeddings`.
    Embeddings,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ChatCompletions, Self::Completions, Self::Embeddings];

    /// The path under `/v1`, without a slash in front.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat/completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
        }
    }
}

/// One request to a model.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id, in the queue and in logs.
    pub request_id: RequestId,
    /// Whose it is: who waits is fair among users.
    pub user_id: Option<UserId>,
    /// Which endpoint it is for.
    pub path: Endpoint,
    /// What to ask, the model's name included.
    pub body: RequestBody,
    /// The model that answers where nothing has the name in the body, or it is `default`.
    pub otherwise: Option<Arc<str>>,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it may wait for an instance.
    pub deadline: Duration,
    /// Told, for people, what the request waits for, whenever that changes.
    pub waiting: Option<Arc<watch::Sender<String>>>,
}

/// An answer that has begun: the engine's or provider's own status and body.
///
/// Dropping it, or its body, cancels the work on the engine and frees the place.
#[derive(Debug)]
pub struct Opened {
    /// The status; an error's body is in OpenAI's shape.
    pub status: StatusCode,
    /// The headers that concern the client.
    pub headers: HeaderMap,
    /// The body as it comes.
    pub body: BodyStream,
}
