//! The side behind NAT: any axum router, served over a connection that it dials.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, routing::get};
use futures_util::{StreamExt as _, stream};
use helix_base::{Outbound, OutboundOptions, TaskGroup};
use helix_tunnel::{Agent, AgentOptions, Stopped};

/// Counts to twenty, slowly.
async fn count() -> Body {
    let numbers = stream::iter(1..=20).then(|number| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok::<_, Infallible>(format!("{number}\n"))
    });
    Body::from_stream(numbers)
}

/// Serves until it is told to stop. `credential` is what the control plane knows it by.
pub(crate) async fn run(url: &str, credential: &str, group: &TaskGroup) -> anyhow::Result<Stopped> {
    let router = Router::new().route("/count", get(count));
    let outbound = Outbound::new(&OutboundOptions::from_vars(std::env::vars()))?;
    let options = AgentOptions::default();
    let agent = Agent::new(&url.parse()?, credential.into(), outbound, router, options)?;
    Ok(agent.run(group).await)
}
