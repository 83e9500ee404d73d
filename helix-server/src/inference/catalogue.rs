//! Registered models: their checks, their estimates, and how they reach the
//! table of names and the scheduler.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use helix_proto::{
    ModelId, RunnerId,
    model::{CreateModelRequest, EngineKind, MemoryBasis, Model, ModelMemory},
    runner::InspectRequest,
};
use helix_scheduler::{DeviceClass, Event, LearnedNeed, ModelSpec, Stage};
use tokio::sync::Semaphore;

use super::{Inference, checks};
use crate::{
    api::Failure,
    auth::secret,
    events::{Notice, Topic},
    store::{
        self,
        models::{StoredEstimate, StoredNeed},
    },
};

/// How long registering a model waits for an estimate of what it needs.
const ESTIMATE_WITHIN: Duration = Duration::from_secs(10);

/// What is known about what models need.
#[derive(Debug, Default)]
pub(super) struct Needs {
    learned: HashMap<ModelId, BTreeMap<DeviceClass, LearnedNeed>>,
    /// `None` inside: nothing can be known before a start.
    estimates: HashMap<ModelId, Option<u64>>,
}

/// The registered models' side of [`Inference`].
#[derive(Debug)]
pub(super) struct Catalogue {
    needs: Mutex<Needs>,
    /// Models change one at a time.
    changing: Semaphore,
}

impl Catalogue {
    pub(super) fn new() -> Self {
        Self {
            needs: Mutex::default(),
            changing: Semaphore::new(1),
        }
    }

    fn needs<T>(&self, with: impl FnOnce(&mut Needs) -> T) -> T {
        with(&mut self.needs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A text that changes with everything that a model's need depends on.
fn memory_key(model: &Model) -> String {
    let settings = &model.settings;
    let parts = (
        (
            model.engine,
            &model.source,
            settings.context_tokens,
            settings.parallel,
        ),
        (
            settings.devices,
            &settings.engine_args,
            &settings.engine_env,
        ),
    );
    secret::hash(&serde_json::to_string(&parts).unwrap_or_default())
}

impl Inference {
    /// Reads what is stored about models and tells the scheduler.
    pub(super) async fn load_models(&self) -> Result<(), store::Error> {
        let store = &self.inner.store;
        let models: HashMap<_, _> = store
            .models()
            .await?
            .into_iter()
            .map(|model| (model.id, model))
            .collect();
        let valid =
            |id: &ModelId, key: &str| models.get(id).is_some_and(|model| memory_key(model) == key);
        let learned = store.learned_needs().await?;
        let estimates = store.estimates().await?;
        self.inner.catalogue.needs(|needs| {
            for it in learned
                .into_iter()
                .filter(|it| valid(&it.model, &it.memory_key))
            {
                needs
                    .learned
                    .entry(it.model)
                    .or_default()
                    .insert(it.class, it.need);
            }
            let estimates = estimates
                .into_iter()
                .filter(|it| valid(&it.model, &it.memory_key));
            needs.estimates = estimates
                .map(|it| (it.model, it.bytes_per_device))
                .collect();
        });
        for model in models.values() {
            self.schedule(&Arc::new(model.clone()));
        }
        self.set_models(models.into_values());
        Ok(())
    }

    /// Tells the scheduler all about a model.
    fn schedule(&self, model: &Arc<Model>) {
        let (learned, estimate) = self.inner.catalogue.needs(|needs| {
            let estimate = needs.estimates.get(&model.id).copied().flatten();
            (
                needs.learned.get(&model.id).cloned().unwrap_or_default(),
                estimate,
            )
        });
        let known = |bytes_per_device, basis| ModelMemory {
            bytes_per_device,
            basis,
        };
        let settings = &model.settings;
        let configured = settings
            .memory_bytes
            .map(|it| known(it, MemoryBasis::Configured));
        let spec = ModelSpec {
            id: model.id,
            name: model.name.clone(),
            engine: model.engine,
            need: configured.or_else(|| estimate.map(|it| known(it, MemoryBasis::Estimated))),
            memory_key: memory_key(model),
            learned,
            parallel: settings.parallel,
            devices: settings.devices,
            max_instances: settings.max_instances,
            idle_timeout_ms: settings.idle_timeout_ms,
        };
        self.inner.driver.put_model(Arc::clone(model), spec);
    }

    /// Registers a model, and asks connected runners what it would need.
    pub(crate) async fn register(&self, request: CreateModelRequest) -> Result<Model, Failure> {
        checks::model(&request).map_err(|(field, why)| Failure::invalid(field, why))?;
        let changing = self.inner.catalogue.changing.acquire().await;
        let model = Model {
            id: self.inner.ids.next(),
            name: request.name,
            description: request.description,
            engine: request.engine,
            source: request.source,
            settings: request.settings,
            default: request.default,
            created_at_ms: self.inner.clock.now_ms(),
            memory: None,
            ready_instances: 0,
            starting_instances: 0,
        };
        self.inner
            .store
            .insert_model(&model)
            .await
            .map_err(|error| match error {
                store::Error::Duplicate(_) => {
                    Failure::conflict(format!("there is a model `{}` already", model.name))
                }
                error => error.into(),
            })?;
        let model = Arc::new(model);
        self.schedule(&model);
        self.reload().await?;
        drop(changing);
        tracing::info!(model = %model.id, name = model.name, "model registered");
        let estimate = self.estimate(&model);
        if tokio::time::timeout(ESTIMATE_WITHIN, estimate)
            .await
            .is_err()
        {
            tracing::info!(model = %model.id, "no estimate yet: the runners take long to look");
        }
        Ok(self.dressed(&model))
    }

    /// Forgets a model; who waits for it is told, its instances end. Whether there
    /// was one.
    pub(crate) async fn unregister(&self, id: ModelId) -> Result<bool, store::Error> {
        let _changing = self.inner.catalogue.changing.acquire().await;
        let existed = self.inner.store.delete_model(id).await?;
        self.reload().await?;
        self.inner.driver.remove_model(id);
        self.inner.catalogue.needs(|needs| {
            needs.learned.remove(&id);
            needs.estimates.remove(&id);
        });
        if existed {
            tracing::info!(model = %id, "model deleted");
        }
        Ok(existed)
    }

    /// Asks for an instance before requests do. Whether there is such a model.
    pub(crate) fn prewarm(&self, id: ModelId) -> bool {
        let known = self.routes().model(id).is_some();
        if known {
            self.inner.driver.apply(Event::Prewarm { model: id });
        }
        known
    }

    /// The registered models, with what they need and run now.
    pub(crate) fn models(&self) -> Vec<Model> {
        self.routes()
            .models()
            .into_iter()
            .map(|model| self.dressed(model))
            .collect()
    }

    /// A model with what it needs and runs now.
    fn dressed(&self, model: &Model) -> Model {
        self.inner.driver.ask(|scheduler| {
            let at = |stages: &[Stage]| {
                let here = |it: &helix_scheduler::InstanceView| {
                    it.model == model.id && stages.contains(&it.stage)
                };
                u32::try_from(scheduler.instances().filter(here).count()).unwrap_or(u32::MAX)
            };
            Model {
                memory: scheduler.need(model.id),
                ready_instances: at(&[Stage::Ready]),
                starting_instances: at(&[Stage::Planned, Stage::Starting]),
                ..model.clone()
            }
        })
    }

    /// Replaces the table of names by what is stored.
    async fn reload(&self) -> Result<(), store::Error> {
        self.set_models(self.inner.store.models().await?);
        self.inner.bus.publish(Topic::Fleet, Notice::ModelsChanged);
        Ok(())
    }

    /// Keeps what the scheduler learned.
    pub(super) async fn keep(&self, need: StoredNeed) {
        self.inner.catalogue.needs(|needs| {
            needs
                .learned
                .entry(need.model)
                .or_default()
                .insert(need.class.clone(), need.need);
        });
        let now_ms = self.inner.clock.now_ms();
        if let Err(error) = self.inner.store.keep_need(&need, now_ms).await {
            tracing::warn!(model = %need.model, %error, "what was learned is not stored");
        }
        self.inner.bus.publish(Topic::Fleet, Notice::ModelsChanged);
    }

    /// Asks a runner that has just come about models nobody could tell about yet.
    pub(super) async fn estimate_missing(&self, runner: RunnerId) {
        let routes = self.routes();
        for model in routes.models() {
            if self.wants_estimate(model) {
                self.estimate_on(model, runner).await;
            }
        }
    }

    /// Asks connected runners about a model until one can tell.
    async fn estimate(&self, model: &Arc<Model>) {
        if !self.wants_estimate(model) {
            return;
        }
        for view in self
            .inner
            .fleet
            .runners()
            .iter()
            .filter(|view| view.is_connected())
        {
            if self.estimate_on(model, view.known.id).await {
                return;
            }
        }
    }

    fn wants_estimate(&self, model: &Model) -> bool {
        model.engine != EngineKind::External
            && model.settings.memory_bytes.is_none()
            && self
                .inner
                .catalogue
                .needs(|needs| !needs.estimates.contains_key(&model.id))
    }

    /// Whether the runner could tell.
    async fn estimate_on(&self, model: &Arc<Model>, runner: RunnerId) -> bool {
        let inspect = InspectRequest {
            engine: model.engine,
            source: model.source.clone(),
            settings: model.settings.clone(),
        };
        let told = match self.inner.fleet.client(runner) {
            Ok(client) => client.inspect(&inspect).await,
            Err(error) => Err(error),
        };
        let bytes_per_device = match told {
            Ok(told) => told.bytes_per_device,
            Err(error) => {
                tracing::debug!(%runner, model = %model.id, %error, "the runner cannot estimate");
                return false;
            }
        };
        tracing::info!(%runner, model = %model.id, bytes_per_device, "estimated");
        self.inner
            .catalogue
            .needs(|needs| needs.estimates.insert(model.id, bytes_per_device));
        let estimate = StoredEstimate {
            model: model.id,
            memory_key: memory_key(model),
            bytes_per_device,
        };
        let now_ms = self.inner.clock.now_ms();
        if let Err(error) = self.inner.store.keep_estimate(&estimate, now_ms).await {
            tracing::warn!(model = %model.id, %error, "the estimate is not stored");
        }
        if self.routes().model(model.id).is_some() {
            self.schedule(model);
            self.inner.bus.publish(Topic::Fleet, Notice::ModelsChanged);
        }
        true
    }
}
