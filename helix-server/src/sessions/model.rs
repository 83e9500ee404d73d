//! What answers the turns of a session, as sessions see it.

use std::{fmt, pin::Pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use helix_proto::{RequestId, UserId};
use tokio::sync::watch;

/// One question to a model.
#[derive(Debug)]
pub struct Question {
    /// Its id, in the queue and in logs.
    pub request_id: RequestId,
    /// Whose it is.
    pub user_id: UserId,
    /// OpenAI's chat completion request, streamed, as JSON.
    pub body: Bytes,
    /// Told, for people, what the question waits for, whenever that changes.
    pub waiting: Arc<watch::Sender<String>>,
}

/// Why there is no answer, for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// The bytes of an answer: OpenAI's chat completion as server-sent events.
pub type Answer = Pin<Box<dyn Stream<Item = Result<Bytes, NoAnswer>> + Send>>;

/// Answers questions.
///
/// # Contract
/// - `ask` returns once the model begins to answer; until then `waiting` is told
///   what it waits for. It ends by itself, within the queue's deadline.
/// - Dropping the future or the answer cancels the work.
/// - An answer that ends without `[DONE]` or a finish reason broke off.
#[async_trait]
pub trait ChatModel: fmt::Debug + Send + Sync + 'static {
    /// Asks.
    ///
    /// # Errors
    /// When nothing answers, with the reason for the user.
    async fn ask(&self, question: Question) -> Result<Answer, NoAnswer>;
}
