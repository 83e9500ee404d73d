//! Sandboxes and hosts as metrics.

use helix_proto::sandbox::{SandboxState, host::SandboxHostState};

use super::Sandboxes;
use crate::{
    machines::{self, Role},
    metrics::Metrics,
};

const STATES: [(SandboxState, &str); 6] = [
    (SandboxState::Creating, "creating"),
    (SandboxState::Running, "running"),
    (SandboxState::Paused, "paused"),
    (SandboxState::Stopped, "stopped"),
    (SandboxState::Failed, "failed"),
    (SandboxState::Deleted, "deleted"),
];

const HOST_STATES: [(SandboxHostState, &str); 4] = [
    (SandboxHostState::Online, "online"),
    (SandboxHostState::Draining, "draining"),
    (SandboxHostState::Reconnecting, "reconnecting"),
    (SandboxHostState::Offline, "offline"),
];

impl Sandboxes {
    /// How many sandboxes and hosts there are in each state, and how hosts' tunnels are.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; there are far fewer than 2^53"
    )]
    pub(crate) async fn note_metrics(&self, metrics: &Metrics) {
        metrics.describe_gauge("helix_sandboxes", "Sandboxes in each state.");
        metrics.describe_gauge("helix_sandbox_hosts", "Sandbox hosts in each state.");
        let counts = match self.inner.store.count_sandboxes().await {
            Ok(counts) => counts,
            Err(error) => {
                tracing::warn!(%error, "sandboxes cannot be counted");
                Vec::new()
            }
        };
        for (state, name) in STATES.iter().filter(|_| !counts.is_empty()) {
            let found = counts.iter().find(|(counted, _)| counted == state);
            metrics
                .gauge("helix_sandboxes", &[("state", name)])
                .set(found.map_or(0.0, |(_, count)| *count as f64));
        }
        let hosts = self.host_views();
        for (state, name) in HOST_STATES {
            let count = hosts.iter().filter(|host| host.state() == state).count();
            metrics
                .gauge("helix_sandbox_hosts", &[("state", name)])
                .set(count as f64);
        }
        for host in &hosts {
            let id = host.known.id.to_string();
            machines::metrics::note(metrics, Role::SandboxHost, &id, &host.tunnel());
        }
    }
}
