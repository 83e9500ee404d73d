#![doc = include_str!("../README.md")]

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod credential;
pub mod devices;
pub mod engine;
mod error;
mod handle;
mod http;
mod inspect;
mod instance;
mod instances;
mod options;
pub mod process;
mod runner;
pub mod sources;

pub use error::Error;
pub use handle::Handle;
pub use instance::{Action, Event, Fault, LifeOptions, Machine};
pub use options::{EngineOptions, HttpOptions, RunnerOptions};
pub use process::Supervisor;
pub use runner::{Runner, RunnerBuilder};
