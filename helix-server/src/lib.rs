#![doc = include_str!("../README.md")]
//!
//! # Code map
//!
//! [`Options`] → [`Server::build`] → [`Server::run`], with [`App`] as the cheap
//! handle on what runs. Nothing here reads the environment, installs a signal
//! handler or keeps state of the process: several control planes can live in
//! one process.
//!
//! | module | subject |
//! |---|---|
//! | [`options`] | every option, documented |
//! | [`app`] | what every part stands on, and the handle on the whole |
//! | [`api`] | routes, extractors, access control, errors, the OpenAPI document |
//! | [`auth`] | accounts, sign-in, API keys |
//! | [`store`] | SQLite and PostgreSQL |
//! | [`seal`] | secrets at rest, and the keys they are sealed with |
//! | [`secrets`] | users' secrets, and how they are kept out of what is shown |
//! | [`sessions`] | conversations: the log and the turn machine |
//! | [`sharing`] | who may do what in a session and in its sandbox |
//! | [`events`] | the bus that tells readers of a log that it grew |
//! | [`fleet`] | runners |
//! | [`agents`] | agents at work in sandboxes: conversations, their hosts, the catalogue |
//! | [`sandboxes`] | sandboxes and the machines that host them |
//! | `machines` | what runners and sandbox hosts have in common: tunnels, calls, events |
//! | [`inference`] | models, queue, scheduling, providers |
//! | [`workspaces`] | git repositories in sandboxes |
//! | [`web`] | the web app: embedded, or proxied |
//! | [`serve`] | sockets, TLS, staged shutdown |

pub mod agents;
pub mod api;
pub mod app;
pub mod auth;
pub mod events;
pub mod fleet;
pub mod inference;
mod machines;
pub mod metrics;
pub mod options;
pub mod sandboxes;
pub mod seal;
pub mod secrets;
pub mod serve;
pub mod sessions;
pub mod sharing;
pub mod store;
pub mod web;
pub mod workspaces;

pub use app::{App, Foundation};
pub use options::Options;
pub use serve::Server;
