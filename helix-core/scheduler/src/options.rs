//! What can be chosen about scheduling.

use serde::{Deserialize, Serialize};

/// What can be chosen about scheduling. Every time is in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How many requests may wait. Further ones are rejected with a time to
    /// come again.
    pub queue_capacity: u32,
    /// How much longer than one of the next higher priority a request may have
    /// to wait: a `Low` request goes before a `High` one that came twice this
    /// later. So no priority starves another.
    pub aging_ms: u64,
    /// Kept free on every device, whatever its size.
    pub headroom_bytes: u64,
    /// Kept free on every device, in percent of its memory. The larger of the
    /// two counts.
    pub headroom_percent: u8,
    /// How long a runner that is gone is expected back: its instances count as
    /// capacity to come and requests wait for it. So do those of a runner whose
    /// connection is being replaced; after this time they stay, but others are
    /// started elsewhere if there is room. Also how long after the
    /// scheduler's first event runners are expected that it has not seen yet.
    pub reconnect_grace_ms: u64,
    /// How long a request waits for a place on the instances there are before
    /// a further one is started for it.
    pub scale_up_after_ms: u64,
    /// How long a request waits for room before busy instances of other models
    /// are asked to make way: they finish what they have and take nothing new.
    pub patience_ms: u64,
    /// How long an instance that became ready is left alone by requests that
    /// could have its room only by making it stop working, and how long it
    /// must have been idle to give its room to a further instance of a model
    /// that already has one.
    pub hold_ms: u64,
    /// The pause after a first failed start of a model on a runner. It doubles
    /// with each further failure.
    pub failure_backoff_ms: u64,
    /// The longest such pause.
    pub failure_backoff_cap_ms: u64,
    /// After this many failures in a row on each runner that could run the
    /// model, its waiting requests are rejected with the last failure.
    pub failures_until_rejected: u32,
    /// How long a runner may take to say anything about an instance that it
    /// was told to start or stop before that counts as a failure, or it is
    /// told again.
    pub acknowledge_ms: u64,
    /// How long an instance is left alone after a request was lost on it.
    pub suspect_ms: u64,
    /// What a rejected client is told to wait where nothing better is known.
    pub retry_after_ms: u64,
    /// How many decisions are kept to be looked at.
    pub decisions_kept: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_capacity: 1_000,
            aging_ms: 10_000,
            headroom_bytes: 256 << 20,
            headroom_percent: 2,
            reconnect_grace_ms: 15_000,
            scale_up_after_ms: 500,
            patience_ms: 5_000,
            hold_ms: 15_000,
            failure_backoff_ms: 1_000,
            failure_backoff_cap_ms: 300_000,
            failures_until_rejected: 3,
            acknowledge_ms: 30_000,
            suspect_ms: 2_000,
            retry_after_ms: 2_000,
            decisions_kept: 256,
        }
    }
}

impl Options {
    /// What may be set aside at most on a device of this size.
    pub fn usable_bytes(&self, total_bytes: u64) -> u64 {
        let percent = total_bytes / 100 * u64::from(self.headroom_percent);
        total_bytes.saturating_sub(percent.max(self.headroom_bytes))
    }
}
