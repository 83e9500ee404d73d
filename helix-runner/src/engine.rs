//! Engines: the programs that run models.

pub mod external;
pub mod llamacpp;
pub mod ollama;
pub mod vllm;

mod endpoint;
mod error;
mod find;
mod job;
mod oom;

use std::fmt;

use async_trait::async_trait;
use helix_proto::{model::EngineKind, runner::EngineInfo};

pub use endpoint::Endpoint;
pub use error::Error;
pub use external::External;
pub use find::SearchPath;
pub use job::{Job, Plan, ProgressSink, Readiness, Stage, Weights};
pub use llamacpp::LlamaCpp;
pub use ollama::Ollama;
pub(crate) use oom::shows_out_of_memory;
pub use vllm::Vllm;

/// The base URL of an engine on this machine.
fn loopback(port: u16) -> Result<url::Url, Error> {
    url::Url::parse(&format!("http://127.0.0.1:{port}"))
        .map_err(|error| Error::Unsupported(format!("port {port}: {error}")))
}

/// What an engine can do, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// Which engine it is.
    pub kind: EngineKind,
    /// It runs as a process of the runner, rather than as someone else's server.
    pub process: bool,
    /// It takes a [`ModelSource::File`](helix_proto::model::ModelSource::File).
    pub from_file: bool,
    /// It takes a Hugging Face repository.
    pub from_hugging_face: bool,
    /// It takes a model of an Ollama registry.
    pub from_ollama: bool,
    /// It takes a URL.
    pub from_url: bool,
    /// One instance can be spread over several devices.
    pub several_devices: bool,
}

/// A kind of engine on this machine. The runner holds one of each, and drives
/// any number of instances with it: an engine describes, and the instance's
/// driver runs, watches, restarts and stops.
///
/// # Contract
///
/// Each line is a check of the conformance kit (feature `conformance`).
///
/// - [`detect`](Self::detect) says what it found, or what to do so that there
///   is something to find, and leaves nothing running.
/// - [`fetch`](Self::fetch) refuses a source that [`Capability`] does not name
///   with [`Error::Unsupported`], before anything is fetched.
/// - Of what is not there, `fetch` or [`load`](Self::load) says that the model
///   is missing.
/// - `fetch` is idempotent: the second answer equals the first. Dropping its
///   future at any time is safe; the next call goes on or starts over.
/// - [`plan`](Self::plan) has no effect, and the same job, weights and port
///   give the same command, which binds loopback only. A plan carries
///   [`Plan::process`] exactly when [`Capability::process`] says so.
/// - [`probe`](Self::probe) answers [`Readiness::Loading`] while nothing
///   listens yet, and takes no longer than ten seconds.
/// - After `probe` said [`Readiness::Ready`] and `load` (idempotent) is through,
///   the model answers under [`Plan::engine_model`], and strangers without
///   [`Plan::key`], where there is one, are refused.
/// - A request whose connection is closed stops costing the engine work.
/// - A planned process ends within seconds of `SIGTERM`, and leaves nothing of
///   itself that hinders the next start.
/// - A model that cannot be loaded is refused, ends the process, or fails
///   `load`; it is never reported as ready.
#[async_trait]
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// What it can do.
    fn capability(&self) -> Capability;

    /// Whether instances of it can be started here.
    async fn detect(&self) -> EngineInfo;

    /// Brings the weights to this machine.
    ///
    /// # Errors
    ///
    /// See the contract.
    async fn fetch(&self, job: &Job, progress: &ProgressSink) -> Result<Weights, Error>;

    /// Says what to run so that the engine listens on `port`.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when the engine is not installed, and
    /// [`Error::Unsupported`] when the settings cannot work.
    async fn plan(&self, job: &Job, weights: &Weights, port: u16) -> Result<Plan, Error>;

    /// Asks once how the engine is.
    ///
    /// # Errors
    ///
    /// When it answers, but not as an engine in good health does.
    async fn probe(&self, endpoint: &Endpoint) -> Result<Readiness, Error>;

    /// Called once the engine answers: loads the model, where starting the
    /// engine does not do that.
    ///
    /// # Errors
    ///
    /// When the model cannot be loaded.
    async fn load(
        &self,
        job: &Job,
        endpoint: &Endpoint,
        progress: &ProgressSink,
    ) -> Result<(), Error> {
        let _ = (job, endpoint, progress);
        Ok(())
    }

    /// The bytes that the engine itself says it uses on its devices together;
    /// `None` where it does not say.
    async fn memory(&self, endpoint: &Endpoint) -> Option<u64> {
        let _ = endpoint;
        None
    }
}
