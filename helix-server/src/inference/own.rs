//! A request to an own model: a place from the scheduler, then over the runner's
//! tunnel to the engine.

use std::{sync::Arc, time::Duration};

use super::{
    Error, Inference, Job, Opened,
    answer::{self, Source},
    body::{self, Upstream},
    driver::Dispatched,
    error::Available,
    routes::Routes,
};
use bytes::Bytes;
use helix_proto::{ErrorCode, error::ErrorEnvelope, model::Model};
use helix_scheduler::{Outcome, RejectReason, RequestSpec};
use http::Response;
use http_body_util::{BodyExt as _, Full};
/// When a control plane that shuts down should be there again.
const RESTARTED_AFTER: Duration = Duration::from_secs(10);

/// What came of asking an engine.
enum Asked {
    /// It began to answer.
    Answered(Response<Upstream>),
    /// It, or its runner, was lost before it said anything.
    Lost(String),
}

impl Inference {
    /// Waits for a place on an instance of the model and asks its engine. A
    /// request that is lost before the engine said anything is placed again, as
    /// often as the scheduler sees fit.
    pub(super) async fn serve(
        &self,
        job: &Job,
        model: &Model,
        routes: &Routes,
    ) -> Result<Opened, Error> {
        let now_ms = self.inner.clock.now_ms();
        let patience = u64::try_from(job.deadline.as_millis()).unwrap_or(u64::MAX);
        let spec = RequestSpec {
            id: job.request_id,
            model: model.id,
            user: job.user_id,
            priority: job.priority,
            deadline_at_ms: now_ms.saturating_add(patience),
        };
        let rejected = |why| self.rejected(model, routes, &why);
        let place = self.inner.driver.place(spec, job.waiting.clone());
        let (mut ticket, mut to) = place.await.map_err(rejected)?;
        loop {
            let asked = tokio::select! {
                asked = self.ask_engine(job, model, &to) => asked,
                () = ticket.cancelled() => Err(cancelled()),
            };
            match asked {
                Ok(Asked::Answered(response)) => {
                    let who = format!("model `{}`", model.name).into();
                    let source = Source {
                        id: job.request_id,
                        who,
                        hold: Box::new(ticket),
                    };
                    return answer::opened(&self.inner.watch, response, source).await;
                }
                Ok(Asked::Lost(reason)) => {
                    let runner = self.inner.fleet.name(to.runner);
                    tracing::warn!(request = %job.request_id, instance = %to.instance, runner, reason, "lost before an answer");
                    (ticket, to) = ticket.again().await.map_err(rejected)?;
                }
                Err(error) => {
                    ticket.finish(Outcome::Failed);
                    return Err(error);
                }
            }
        }
    }

    async fn ask_engine(&self, job: &Job, model: &Model, to: &Dispatched) -> Result<Asked, Error> {
        let name = to.engine_model.as_deref().unwrap_or(&model.name);
        let body = job.body.with_model(name);
        let within = self.inner.upstream_timeout;
        let client = match self.inner.fleet.client(to.runner) {
            Ok(client) => client,
            Err(error) => return Ok(Asked::Lost(error.to_string())),
        };
        let answer = client.engine(to.instance, job.path.path(), body);
        let response = match tokio::time::timeout(within, answer).await {
            Err(_) => return Err(silent(model, within)),
            Ok(Err(error)) => return Ok(Asked::Lost(error.to_string())),
            Ok(Ok(response)) => response,
        };
        let response = response.map(body::upstream);
        if response.status().is_success() {
            return Ok(Asked::Answered(response));
        }
        let (parts, body) = response.into_parts();
        let bytes = answer::short(body).await.unwrap_or_default();
        match runners_own(&bytes) {
            None => Ok(Asked::Answered(Response::from_parts(parts, full(bytes)))),
            Some((ErrorCode::Timeout, _)) => Err(silent(model, within)),
            Some((ErrorCode::PayloadTooLarge | ErrorCode::BadRequest, _)) => {
                Ok(Asked::Answered(Response::from_parts(parts, full(bytes))))
            }
            Some((_, message)) => Ok(Asked::Lost(message)),
        }
    }

    /// The scheduler's reason in the terms of a client.
    fn rejected(&self, model: &Model, routes: &Routes, why: &RejectReason) -> Error {
        let retry_after = why.retry_after_ms().map(Duration::from_millis);
        match why {
            RejectReason::QueueFull { .. } => Error::QueueFull {
                reason: why.to_string(),
                retry_after: retry_after.unwrap_or(Duration::from_secs(1)),
            },
            RejectReason::UnknownModel => Error::UnknownModel {
                model: model.name.clone(),
                available: routes.available(&model.name),
            },
            RejectReason::TimedOut {
                waited_ms,
                waiting_for,
            } => Error::Deadline {
                waited: Duration::from_millis(*waited_ms),
                waited_for: waiting_for.to_string(),
            },
            RejectReason::Cancelled if self.inner.tasks.is_draining() => Error::Unavailable {
                model: model.name.clone(),
                reason: "the control plane is shutting down".to_owned(),
                available: routes.available(&model.name),
                retry_after: Some(RESTARTED_AFTER),
            },
            RejectReason::Cancelled => cancelled(),
            other => Error::Unavailable {
                model: model.name.clone(),
                reason: other.to_string(),
                available: self.servable(model, routes),
                retry_after,
            },
        }
    }

    /// What could be asked instead of a model that cannot be served now.
    fn servable(&self, except: &Model, routes: &Routes) -> Available {
        let refused: Vec<_> = self.inner.driver.ask(|scheduler| {
            let models = routes.models().into_iter();
            models
                .filter(|it| scheduler.refusal(it.id).is_some())
                .cloned()
                .collect()
        });
        let Available(mut names) = routes.available(&except.name);
        names.retain(|name| refused.iter().all(|model: &Arc<Model>| model.name != *name));
        Available(names)
    }
}

fn cancelled() -> Error {
    Error::Cancelled {
        reason: "an administrator took it out of the queue".to_owned(),
    }
}

fn silent(model: &Model, after: Duration) -> Error {
    Error::Silent {
        who: format!("model `{}`", model.name),
        after,
    }
}

fn full(bytes: Bytes) -> Upstream {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Whether an error is the runner's and not the engine's: only ours come in the
/// project's own envelope.
fn runners_own(bytes: &[u8]) -> Option<(ErrorCode, String)> {
    let envelope: ErrorEnvelope = serde_json::from_slice(bytes).ok()?;
    Some((envelope.error.code, envelope.error.message))
}
