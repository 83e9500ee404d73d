//! What daemons that dial out have in common in their `main`: their configuration and the
//! signals that stop them.

mod config;
mod signals;

pub use config::{ConfigError, Layers, default_data_dir, to_toml};
pub use signals::Signals;
