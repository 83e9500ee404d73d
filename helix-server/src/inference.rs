//! Models, queue, scheduling, providers: from a request's body to an answer that
//! has begun.
//!
//! A model's name is looked up in a table (`routes`): registered models, the
//! name `default`, a provider's prefix, a model that a provider is configured to
//! have. A provider is asked at once. An own model's request goes through the
//! scheduler and then over the runner's tunnel to an instance.
//!
//! **Invariants.** A request touches neither the database nor, beyond the top
//! level, its own JSON. Dropping what [`Inference::open`] returned, or the future
//! itself, at whatever point, cancels the work on the engine and frees the place.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use helix_base::{Clock, Ids, Outbound, TaskGroup};
use helix_proto::{InstanceId, RequestId, model::Model, queue::Queue};
use helix_scheduler::{Event, Scheduler};
use rand::RngExt as _;
use tokio::sync::mpsc;

use crate::{
    Foundation,
    events::{Bus, Notice, Topic},
    fleet::Fleet,
    serve,
    store::Store,
};

mod answer;
mod body;
mod catalogue;
mod checks;
mod driver;
mod error;
mod job;
mod own;
mod provider;
mod routes;
mod sse;

pub use body::BodyStream;
pub use error::{Available, Error};
pub use job::{Endpoint, Job, Opened};
pub use routes::DEFAULT_MODEL;

pub(crate) use provider::Provider;
pub(crate) use routes::Routes;

use answer::Source;
use body::{NoPlace, Patience, Watch};
use catalogue::Catalogue;
use driver::Driver;
use routes::Route;

/// Answers inference requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inference {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    routes: RwLock<Arc<Routes>>,
    catalogue: Catalogue,
    driver: Driver,
    fleet: Fleet,
    watch: Arc<Watch>,
    outbound: Outbound,
    store: Store,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    ids: Ids,
    tasks: TaskGroup,
    upstream_timeout: Duration,
}

impl Inference {
    /// Starts it.
    ///
    /// # Errors
    /// When the database cannot be read, or a provider cannot be used as it is
    /// configured.
    pub async fn start(foundation: &Foundation, fleet: &Fleet) -> Result<Self, serve::Error> {
        let Foundation {
            options,
            tasks,
            clock,
            ..
        } = foundation;
        let providers =
            provider::providers(&options.providers).map_err(|error| serve::Error::Option {
                option: "providers".into(),
                reason: error.to_string(),
            })?;
        let queue = &options.queue;
        let patience = Patience {
            client: queue.client_stall,
            upstream: queue.upstream_silence,
        };
        let scheduling = helix_scheduler::Options {
            queue_capacity: queue.capacity,
            ..helix_scheduler::Options::default()
        };
        let scheduler = Scheduler::new(scheduling, rand::rng().random());
        let per_user = queue.capacity_per_user;
        let (driver, learned) = Driver::new(scheduler, Arc::clone(clock), fleet.clone(), per_user);
        let inner = Inner {
            routes: RwLock::new(Arc::new(Routes::new([], providers))),
            catalogue: Catalogue::new(),
            driver: driver.clone(),
            fleet: fleet.clone(),
            watch: Watch::new(Arc::clone(clock), patience),
            outbound: foundation.outbound.clone(),
            store: foundation.store.clone(),
            bus: Arc::clone(&foundation.bus),
            clock: Arc::clone(clock),
            ids: foundation.ids.clone(),
            tasks: tasks.clone(),
            upstream_timeout: queue.upstream_timeout,
        };
        inner.watch.spawn(tasks);
        let inference = Self {
            inner: Arc::new(inner),
        };
        inference.load_models().await?;
        driver.spawn_ticks(tasks, Arc::clone(&foundation.bus));
        let draining = tasks.draining_token();
        if let Some(news) = fleet.news() {
            let following = inference.clone().follow(news);
            let following = draining.clone().run_until_cancelled_owned(following);
            tasks.spawn("inference-news", following);
        }
        let remembering = inference.clone().remember(learned);
        let remembering = draining.clone().run_until_cancelled_owned(remembering);
        tasks.spawn("inference-learned", remembering);
        Ok(inference)
    }

    /// Resolves the model, waits for a place, asks, and returns with the headers
    /// of the answer: nothing has gone to the client yet.
    ///
    /// # Errors
    /// See [`Error`]. An error answer of the engine or provider is no error here.
    pub fn open(&self, job: Job) -> impl Future<Output = Result<Opened, Error>> + Send {
        let inference = self.clone();
        // Boxed: it lives for as long as the request waits, and is large.
        Box::pin(async move {
            let routes = inference.routes();
            let otherwise = job.otherwise.as_deref();
            match routes.resolve_or(job.body.model(), otherwise) {
                Some(Route::Provider(provider, model)) => {
                    inference.ask(&job, &provider, &model).await
                }
                Some(Route::Model(model)) => inference.serve(&job, &model, &routes).await,
                None => {
                    let name = otherwise.unwrap_or(job.body.model());
                    Err(Error::UnknownModel {
                        model: name.to_owned(),
                        available: routes.available(name),
                    })
                }
            }
        })
    }

    async fn ask(&self, job: &Job, provider: &Provider, model: &str) -> Result<Opened, Error> {
        let Inner {
            outbound,
            upstream_timeout,
            watch,
            ..
        } = &*self.inner;
        let body = job.body.with_model(model);
        let response = provider
            .open(outbound, job.path, body, *upstream_timeout)
            .await?;
        let who = Arc::clone(provider.who());
        let source = Source {
            id: job.request_id,
            who,
            hold: Box::new(NoPlace),
        };
        answer::opened(watch, response, source).await
    }

    /// Ends a request, waiting or in flight. Whether there was such a request.
    pub(crate) fn cancel(&self, request: RequestId) -> bool {
        let waiting = self.inner.driver.cancel(request);
        let reason = "an administrator ended it".to_owned();
        self.inner.watch.end(request, Error::Cancelled { reason }) || waiting
    }

    /// What waits and why, and what is in flight on own runners.
    pub(crate) fn queue(&self) -> Queue {
        self.inner.driver.ask(Scheduler::queue)
    }

    /// Stops an instance, whatever it does.
    pub(crate) fn stop_instance(&self, instance: InstanceId) {
        self.inner.driver.apply(Event::StopInstance { instance });
    }

    /// Asks the scheduler something.
    pub(crate) fn ask_scheduler<T>(&self, question: impl FnOnce(&Scheduler) -> T) -> T {
        self.inner.driver.ask(question)
    }

    /// The table of names as it is now.
    pub(crate) fn routes(&self) -> Arc<Routes> {
        Arc::clone(
            &self
                .inner
                .routes
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Replaces the registered models in the table of names.
    fn set_models(&self, models: impl IntoIterator<Item = Model>) {
        let mut routes = self
            .inner
            .routes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *routes = Arc::new(Routes::new(models, routes.providers().to_vec()));
    }

    /// Tells the scheduler what runners say.
    async fn follow(self, mut news: mpsc::Receiver<Event>) {
        while let Some(event) = news.recv().await {
            let arrived = match &event {
                Event::RunnerUp { runner, .. } => Some(*runner),
                _ => None,
            };
            let quiet = matches!(event, Event::DevicesMeasured { .. });
            self.inner.driver.apply(event);
            if !quiet {
                self.inner.bus.publish(Topic::Fleet, Notice::ModelsChanged);
            }
            if let Some(runner) = arrived {
                let inference = self.clone();
                let estimating = async move { inference.estimate_missing(runner).await };
                let draining = self.inner.tasks.draining_token().clone();
                let estimating = draining.run_until_cancelled_owned(estimating);
                self.inner.tasks.spawn("estimates", estimating);
            }
        }
    }

    async fn remember(self, mut learned: mpsc::Receiver<crate::store::models::StoredNeed>) {
        while let Some(need) = learned.recv().await {
            self.keep(need).await;
        }
    }
}

#[cfg(test)]
mod tests;
