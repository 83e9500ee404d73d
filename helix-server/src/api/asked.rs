//! What is the same for every request to a model, whichever API it comes by.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use helix_dialects::chat::{Meter, Usage, with_usage};
use helix_proto::{
    RequestId, SessionId, openai::RequestBody, queue::Priority, session::ModelUsage,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};

use super::Failure;
use crate::{
    App,
    auth::{Credential, Identity, SessionKeys},
    inference::{BodyStream, Endpoint, Error, Job, Opened},
};

/// How urgent a request is: `low`, `normal` or `high`.
const PRIORITY: &str = "x-helix-priority";

/// How long a request may wait for an instance, in milliseconds.
const TIMEOUT: &str = "x-helix-timeout-ms";

/// The id under which the control plane knows a request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-helix-request-id");

/// The longest wait that can be asked for.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// A request to a model, before it is asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: RequestId,
    user: helix_proto::UserId,
    priority: Priority,
    deadline: Duration,
    session: Option<OfSession>,
}

/// The session whose key the request came with.
#[derive(Debug, Clone)]
struct OfSession {
    id: SessionId,
    model: Arc<str>,
    keys: SessionKeys,
}

impl Asked {
    /// Reads what the caller and the headers say, and counts the request for its session.
    pub(super) fn read(
        app: &App,
        caller: &Identity,
        id: RequestId,
        headers: &HeaderMap,
    ) -> Result<Self, Failure> {
        let session = match &caller.credential {
            Credential::SessionKey { session, model } => Some(OfSession {
                id: *session,
                model: Arc::clone(model),
                keys: app.session_keys().clone(),
            }),
            Credential::SignIn { .. } | Credential::ApiKey { .. } => None,
        };
        let asked = Self {
            id,
            user: caller.user_id,
            priority: priority(headers)?,
            deadline: timeout(headers)?.unwrap_or(app.options().queue.deadline),
            session,
        };
        if let Some(session) = &asked.session {
            let one = ModelUsage {
                requests: 1,
                ..ModelUsage::default()
            };
            session.keys.count(session.id, &one);
        }
        Ok(asked)
    }

    /// A request of nobody's, for tests of what comes after it.
    #[cfg(test)]
    pub(super) fn nobodys() -> Self {
        use helix_proto::TypedId as _;
        Self {
            id: RequestId::from_parts(1, 1),
            user: helix_proto::UserId::from_parts(1, 1),
            priority: Priority::Normal,
            deadline: Duration::ZERO,
            session: None,
        }
    }

    /// The model of the caller's session: answers where nothing else has the name.
    pub(super) fn otherwise(&self) -> Option<&str> {
        self.session.as_ref().map(|session| &*session.model)
    }

    /// Counts what an answer cost for the session, if it is one's.
    pub(super) fn cost(&self, usage: Usage) {
        if let Some(session) = &self.session {
            session.cost(usage);
        }
    }

    /// Asks, and returns with the headers of the answer.
    pub(super) async fn open(
        &self,
        app: &App,
        path: Endpoint,
        body: RequestBody,
    ) -> Result<Opened, Error> {
        let job = Job {
            request_id: self.id,
            user_id: Some(self.user),
            path,
            body,
            otherwise: self.session.as_ref().map(|it| Arc::clone(&it.model)),
            priority: self.priority,
            deadline: self.deadline,
            waiting: None,
        };
        app.inference().open(job).await
    }

    /// The request as it is passed on: that of a session asks for its cost.
    pub(super) fn counted(&self, body: RequestBody) -> RequestBody {
        let asking = self.session.as_ref().and_then(|_| with_usage(body.bytes()));
        match asking.map(|asking| RequestBody::parse(asking.into())) {
            Some(Ok(asking)) => asking,
            _ => body,
        }
    }

    /// The body of an answer that passes through; what it cost is counted for a session.
    pub(super) fn passed(&self, body: BodyStream, headers: &HeaderMap) -> Body {
        match &self.session {
            None => Body::new(body),
            Some(session) => {
                let kind = headers.get(http::header::CONTENT_TYPE);
                let events = kind.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
                Body::new(Counted {
                    body,
                    meter: Meter::new(events),
                    session: session.clone(),
                })
            }
        }
    }
}

impl OfSession {
    fn cost(&self, usage: Usage) {
        let usage = ModelUsage {
            requests: 0,
            prompt_tokens: usage.prompt,
            completion_tokens: usage.completion,
        };
        self.keys.count(self.id, &usage);
    }
}

/// An answer that passes through and is counted at its end, however it ends.
#[derive(Debug)]
struct Counted {
    body: BodyStream,
    meter: Meter,
    session: OfSession,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(bytes) = frame.data_ref()
        {
            self.meter.push(bytes);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(usage) = self.meter.usage() {
            self.session.cost(usage);
        }
    }
}

fn priority(headers: &HeaderMap) -> Result<Priority, Failure> {
    match headers.get(PRIORITY).map(HeaderValue::as_bytes) {
        None | Some(b"normal") => Ok(Priority::Normal),
        Some(b"low") => Ok(Priority::Low),
        Some(b"high") => Ok(Priority::High),
        Some(_) => Err(Failure::invalid(
            PRIORITY,
            "must be `low`, `normal` or `high`",
        )),
    }
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let timeout = value
        .to_str()
        .ok()
        .and_then(|it| it.parse().ok())
        .map(Duration::from_millis);
    match timeout {
        Some(timeout) if (Duration::from_millis(1)..=MAX_TIMEOUT).contains(&timeout) => {
            Ok(Some(timeout))
        }
        _ => Err(Failure::invalid(
            TIMEOUT,
            "must be 1 to 86,400,000 milliseconds",
        )),
    }
}
