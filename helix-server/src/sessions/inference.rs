//! Sessions are answered by the control plane's own inference.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use helix_proto::{openai::RequestBody, queue::Priority};

use super::{
    model::{Answer, ChatModel, NoAnswer, Question},
    reply,
};
use crate::inference::{Endpoint, Inference, Job, Opened};

/// How much of an error answer is read.
const ERROR_BYTES: usize = 64 << 10;

/// Asks [`Inference`] with the priority of someone who waits for the answer.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) inference: Inference,
    pub(crate) deadline: std::time::Duration,
}

#[async_trait]
impl ChatModel for Direct {
    async fn ask(&self, question: Question) -> Result<Answer, NoAnswer> {
        let body =
            RequestBody::parse(question.body).map_err(|error| NoAnswer(error.to_string()))?;
        let job = Job {
            request_id: question.request_id,
            user_id: Some(question.user_id),
            path: Endpoint::ChatCompletions,
            body,
            otherwise: None,
            priority: Priority::High,
            deadline: self.deadline,
            waiting: Some(question.waiting),
        };
        let opened = self
            .inference
            .open(job)
            .await
            .map_err(|error| NoAnswer(error.to_string()))?;
        if !opened.status.is_success() {
            return Err(refusal(opened).await);
        }
        let bytes = opened
            .body
            .map(|bytes| bytes.map_err(|error| NoAnswer(error.to_string())));
        Ok(Box::pin(bytes))
    }
}

/// The reason in an error answer of an engine or provider.
async fn refusal(opened: Opened) -> NoAnswer {
    let Opened {
        status, mut body, ..
    } = opened;
    let mut bytes = Vec::new();
    while let Some(Ok(part)) = body.next().await {
        bytes.extend_from_slice(&part);
        if bytes.len() > ERROR_BYTES {
            break;
        }
    }
    NoAnswer(match serde_json::from_slice(&bytes) {
        Ok(error) => reply::message(&error),
        Err(_) => format!("the model answered with status {status}"),
    })
}
