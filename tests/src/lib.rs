//! What the end to end tests stand on: real daemons in temporary folders, a
//! real PostgreSQL, real clients.
//!
//! The tests themselves are in `tests/`. By hand, `cargo test -p helix-tests`
//! builds the daemons first; `cargo xtask test` says where they are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod barcode;
pub mod client;
pub mod database;
pub mod disk;
pub mod eventually;
pub mod line;
pub mod process;
pub mod programs;
pub mod python;
pub mod sandbox_host;
pub mod scripted_model;
pub mod world;

pub use client::Client;
pub use database::{Database, DatabaseKind};
pub use disk::SmallDisk;
pub use eventually::eventually;
pub use line::Line;
pub use sandbox_host::SandboxHost;
pub use scripted_model::ScriptedModel;
pub use world::{Runner, Server, World};
