//! What was sent and is not yet acknowledged.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};

use super::{MAX_PAYLOAD, Violation, frame::DATA_HEADER};

/// Room for the largest message.
const BUFFER: usize = DATA_HEADER + MAX_PAYLOAD;

/// Bytes left out in front of a large buffer. The allocator begins large buffers at the
/// beginning of a page, and the WebSocket's own is one, too: copying from one to the other
/// would then go to almost the same place in a page, where `rep movsb` is several times
/// slower on AMD's processors (glibc bug 30994), as was measured here.
const SKEW: usize = 2 << 10;

/// Messages up to this size have a buffer of just their own size: they may be kept for
/// long, and there may be many.
const SMALL: usize = 32 << 10;

/// Buffers kept for use again, by a link that is busy.
const SPARES: usize = 16;

/// A message that was sent, header and all, so that sending it again copies nothing.
#[derive(Debug)]
struct Kept {
    /// The offset just after its payload.
    end: u64,
    message: Bytes,
}

/// Messages in order: sent ones first, then those that this connection still has to send.
#[derive(Debug, Default)]
pub(super) struct Replay {
    kept: VecDeque<Kept>,
    /// How many of them were sent on this connection.
    cursor: usize,
    acknowledged: u64,
    /// The offset after the last message that was ever sent.
    sent: u64,
    end: u64,
    /// Buffers of [`BUFFER`] bytes to use again: without, a fast sender walks through
    /// memory, and the allocator gives each page back and asks for it again.
    spares: Vec<BytesMut>,
    /// The fewest spares since they were last looked at: nobody needed those.
    unused: usize,
}

impl Replay {
    /// Payload that is not acknowledged. What is kept is up to a message more, since
    /// messages go as a whole.
    pub(super) const fn bytes(&self) -> usize {
        (self.end - self.acknowledged) as usize
    }

    pub(super) const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The offset of the next message to be made.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn push(&mut self, message: Bytes) {
        let payload = message.len() - DATA_HEADER;
        self.end += payload as u64;
        self.kept.push_back(Kept {
            end: self.end,
            message,
        });
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.cursor < self.kept.len()
    }

    /// The next message of this connection; it is forgotten at once unless `keep`.
    pub(super) fn pop(&mut self, keep: bool) -> Option<Bytes> {
        let next = self.kept.get(self.cursor)?;
        self.sent = self.sent.max(next.end);
        let message = next.message.clone();
        if keep {
            self.cursor += 1;
        } else {
            self.acknowledged = next.end;
            self.kept.pop_front();
        }
        Some(message)
    }

    /// Forgets what has arrived. What was acknowledged before is no news.
    pub(super) fn acknowledge(&mut self, acknowledged: u64) {
        self.acknowledged = self.acknowledged.max(acknowledged);
        while let Some(first) = self.kept.front()
            && first.end <= acknowledged
        {
            self.cursor = self.cursor.saturating_sub(1);
            if let Some(first) = self.kept.pop_front() {
                self.save(first.message);
            }
        }
    }

    fn save(&mut self, message: Bytes) {
        if self.spares.len() < SPARES
            && let Ok(mut buffer) = message.try_into_mut()
            && buffer.capacity() >= BUFFER
        {
            buffer.clear();
            self.spares.push(buffer);
        }
    }

    /// An empty buffer for this much at first, and perhaps more later.
    pub(super) fn buffer(&mut self, capacity: usize) -> BytesMut {
        if capacity <= SMALL {
            return BytesMut::with_capacity(capacity);
        }
        let spare = self.spares.pop();
        self.unused = self.unused.min(self.spares.len());
        spare.unwrap_or_else(|| {
            let mut buffer = BytesMut::zeroed(SKEW);
            buffer.reserve(BUFFER);
            buffer.advance(SKEW);
            buffer
        })
    }

    /// Gives back what was not needed since the last time.
    pub(super) fn shrink(&mut self) {
        self.spares.truncate(self.spares.len() - self.unused);
        self.unused = self.spares.len();
    }

    /// Sends everything after `received` again.
    pub(super) fn rewind(&mut self, received: u64) -> Result<(), Violation> {
        if received < self.acknowledged {
            return Err(Violation::Forgotten {
                received,
                acknowledged: self.acknowledged,
            });
        }
        self.cursor = self.kept.partition_point(|kept| kept.end <= received);
        Ok(())
    }
}
