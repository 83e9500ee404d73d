#![doc = include_str!("../README.md")]

pub mod agent;
mod channel;
pub mod close;
mod error;
pub mod forward;
mod handle;
pub mod heartbeat;
pub mod hub;
mod io;
pub mod lane;
pub mod link;
pub mod options;
mod readers;
mod session;
pub mod transport;
mod tunnel;
pub mod upgrade;
mod upload;

pub use self::{
    agent::{Agent, AgentOptions, AgentState, Stopped},
    close::{CloseCode, CloseReason},
    error::Error,
    forward::{Forward, forward},
    heartbeat::HeartbeatPolicy,
    hub::{Holder, Hub, HubEvent},
    lane::{Lane, LaneState, LaneStatus},
    options::{AcceptOptions, Limits, TunnelOptions},
    readers::{Body, Pipe},
    transport::{Transport, memory, websocket},
    tunnel::Tunnel,
    upgrade::Upgrade,
};

/// Where an agent dials, below the control plane's base URL.
pub const REVDIAL_PATH: &str = "/api/v1/revdial";
