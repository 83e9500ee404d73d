//! Events that the control plane has not stored yet.

use std::collections::VecDeque;

use helix_proto::agents::{Event, MAX_EVENTS};
use serde::{Deserialize, Serialize};

/// Bytes of events in one message at most; one event alone may have more.
const MESSAGE: usize = 1 << 20;
/// Bytes of the fields around an event's body, about.
const AROUND: usize = 64;

/// The events of a thread, from the first that is not acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    /// The last that was acknowledged; all up to it are gone.
    acknowledged: u64,
    events: VecDeque<(Event, usize)>,
    bytes: usize,
}

impl Journal {
    pub(super) const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.acknowledged + self.events.len() as u64
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends the next event.
    pub(super) fn append(&mut self, event: Event) {
        let bytes = event.body.bytes() + AROUND;
        self.bytes += bytes;
        self.events.push_back((event, bytes));
    }

    /// Forgets what is acknowledged.
    pub(super) fn forget(&mut self, through: u64) {
        while self.acknowledged < through
            && let Some((_, bytes)) = self.events.pop_front()
        {
            self.acknowledged += 1;
            self.bytes -= bytes;
        }
    }

    /// The next message of events after `sent`, as long as what is sent and not acknowledged is
    /// within `window` bytes; at least one event is, should none be on its way.
    pub(super) fn after(&self, sent: u64, window: usize) -> Vec<Event> {
        let on_its_way = usize::try_from(sent - self.acknowledged).unwrap_or(usize::MAX);
        let mut left = window;
        for (_, bytes) in self.events.iter().take(on_its_way) {
            left = left.saturating_sub(*bytes);
        }
        if on_its_way > 0 && left == 0 {
            return Vec::new();
        }
        let mut room = left.min(MESSAGE);
        let mut message = Vec::new();
        for (event, bytes) in self.events.iter().skip(on_its_way).take(MAX_EVENTS) {
            let first = message.is_empty() && on_its_way == 0;
            if *bytes > room && !first {
                break;
            }
            room = room.saturating_sub(*bytes);
            message.push(event.clone());
        }
        message
    }
}
