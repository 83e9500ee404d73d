//! Models, queue, scheduling, providers: from a request's body to an answer that
//! has begun.
//!
//! A model's name is looked up in a table ([`routes`]): registered models, the
//! name `default`, a provider's prefix, a model that a provider is configured to
//! have. A provider is asked at once. An own model's request goes through the
//! scheduler and then over the runner's tunnel to an instance.
//!
//! **Invariants.** A request touches neither the database nor, beyond the top
//! level, its own JSON. Dropping what [`Inference::open`] returned, or the future
//! itself, at whatever point, cancels the work on the engine and frees the place.

use std::sync::{Arc, PoisonError, RwLock};

use helix_base::Outbound;

use crate::{Foundation, fleet::Fleet, serve};

mod answer;
mod body;
mod error;
mod job;
mod provider;
mod routes;
mod sse;

pub use body::BodyStream;
pub use error::{Available, Error};
pub use job::{Endpoint, Job, Opened};
pub use routes::DEFAULT_MODEL;

use answer::Source;
use body::{NoPlace, Patience, Watch};
use provider::Provider;
use routes::{Route, Routes};

/// Answers inference requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inference {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    routes: RwLock<Arc<Routes>>,
    watch: Arc<Watch>,
    outbound: Outbound,
    upstream_timeout: std::time::Duration,
}

impl Inference {
    /// Starts it.
    ///
    /// # Errors
    /// When the database cannot be read, or a provider cannot be used as it is
    /// configured.
    pub async fn start(foundation: &Foundation, _fleet: &Fleet) -> Result<Self, serve::Error> {
        let options = &foundation.options;
        let providers = provider::providers(&options.providers).map_err(|error| {
            serve::Error::Option { option: "providers".into(), reason: error.to_string() }
        })?;
        let models = foundation.store.models().await?;
        let patience = Patience {
            client: options.queue.client_stall,
            upstream: options.queue.upstream_silence,
        };
        let watch = Watch::new(Arc::clone(&foundation.clock), patience);
        watch.spawn(&foundation.tasks);
        let inner = Inner {
            routes: RwLock::new(Arc::new(Routes::new(models, providers))),
            watch,
            outbound: foundation.outbound.clone(),
            upstream_timeout: options.queue.upstream_timeout,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Resolves the model, waits for a place, asks, and returns with the headers
    /// of the answer: nothing has gone to the client yet.
    ///
    /// # Errors
    /// See [`Error`]. An error answer of the engine or provider is no error here.
    pub async fn open(&self, job: Job) -> Result<Opened, Error> {
        let routes = self.routes();
        match routes.resolve(job.body.model()) {
            Some(Route::Provider(provider, model)) => self.ask(&job, &provider, &model).await,
            Some(Route::Model(_)) | None => Err(Error::UnknownModel {
                model: job.body.model().to_owned(),
                available: routes.available(job.body.model()),
            }),
        }
    }

    async fn ask(&self, job: &Job, provider: &Provider, model: &str) -> Result<Opened, Error> {
        let Inner { outbound, upstream_timeout, watch, .. } = &*self.inner;
        let body = job.body.with_model(model);
        let response = provider.open(outbound, job.path, body, *upstream_timeout).await?;
        let source =
            Source { id: job.request_id, who: provider.who().clone(), hold: Box::new(NoPlace) };
        answer::opened(watch, response, source).await
    }

    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.inner.routes.read().unwrap_or_else(PoisonError::into_inner))
    }
}
