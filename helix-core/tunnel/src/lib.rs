#![doc = include_str!("../README.md")]

mod accept;
pub mod agent;
pub mod close;
mod error;
pub mod heartbeat;
pub mod hub;
mod io;
mod link;
pub mod options;
mod readers;
mod session;
pub mod transport;
mod tunnel;
pub mod upgrade;

pub use self::{
    accept::accept,
    agent::{Agent, AgentOptions, AgentState, Stopped},
    close::{CloseCode, CloseReason},
    error::Error,
    heartbeat::HeartbeatPolicy,
    hub::{Hub, HubEvent},
    options::{AcceptOptions, Limits},
    readers::Body,
    transport::{Transport, memory, websocket},
    tunnel::Tunnel,
    upgrade::Upgrade,
};

/// Where an agent dials, below the control plane's base URL.
pub const REVDIAL_PATH: &str = "/api/v1/revdial";
