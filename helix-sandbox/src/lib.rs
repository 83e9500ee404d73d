#![doc = include_str!("../README.md")]

mod agents;
mod assistant;
mod authorities;
pub mod credential;
mod editor;
pub mod environment;
mod error;
mod failure;
mod handle;
mod host;
mod http;
pub mod isolation;
mod live_set;
mod machine;
#[cfg(test)]
mod mock;
mod options;
mod records;
mod sandbox;
mod sandboxes;
mod settings;
#[cfg(test)]
mod tests;

pub use assistant::{AssistantOptions, assist};
pub use editor::{EditorOptions, edit};
pub use error::Error;
pub use handle::Handle;
pub use helix_isolation::guest::SOCKET as CALLS;
pub use host::{Host, HostBuilder};
pub use options::{Backend, HostOptions, IsolationOptions, RelayOptions};
