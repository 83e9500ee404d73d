//! Agents at work as metrics.

use helix_agent::control::Change;
use helix_proto::agents::{Entry, TurnEnd};
use metrics::Counter;

use super::Agents;
use crate::{metrics::Metrics, store::agents::Batch};

const ENTRIES: &str = "helix_agent_log_entries_total";
const BATCHES: &str = "helix_agent_batches_total";
const TURNS: &str = "helix_agent_turns_total";

/// What is counted.
#[derive(Clone)]
pub(super) struct Counters {
    entries: Counter,
    batches: Counter,
    completed: Counter,
    cancelled: Counter,
    failed: Counter,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

impl Counters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        metrics.describe_counter(ENTRIES, "Entries that agents made in the logs of sessions.");
        metrics.describe_counter(BATCHES, "Transactions that stored them.");
        metrics.describe_counter(TURNS, "Turns of agents that ended, by outcome.");
        let turns = |outcome: &str| metrics.counter(TURNS, &[("outcome", outcome)]);
        Self {
            entries: metrics.counter(ENTRIES, &[]),
            batches: metrics.counter(BATCHES, &[]),
            completed: turns("completed"),
            cancelled: turns("cancelled"),
            failed: turns("failed"),
        }
    }

    /// Counts what was stored in one transaction.
    pub(super) fn stored(&self, batches: &[Batch]) {
        self.batches.increment(1);
        for change in batches.iter().flat_map(|batch| &batch.changes) {
            let Change::Log { entry } = change else {
                continue;
            };
            self.entries.increment(1);
            if let Entry::TurnEnded { end, .. } = &**entry {
                match end {
                    TurnEnd::Completed { .. } => self.completed.increment(1),
                    TurnEnd::Cancelled => self.cancelled.increment(1),
                    TurnEnd::Failed { .. } => self.failed.increment(1),
                }
            }
        }
    }
}

impl Agents {
    /// How many hosts and conversations there are at work.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; there are far fewer than 2^53"
    )]
    pub(crate) fn note_metrics(&self, metrics: &Metrics) {
        metrics.describe_gauge("helix_agent_hosts", "Sandbox hosts connected for agents.");
        metrics.describe_gauge(
            "helix_agent_conversations",
            "Conversations with agents that are in memory.",
        );
        let set = |name, count: usize| metrics.gauge(name, &[]).set(count as f64);
        set("helix_agent_hosts", self.inner.hosts.len());
        set("helix_agent_conversations", self.inner.actors.len());
    }
}
