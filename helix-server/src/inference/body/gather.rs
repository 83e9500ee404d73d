//! What is ready goes out in one piece.
//!
//! An engine's events often arrive several at once, each as a chunk of its own,
//! and each chunk that goes out alone costs a system call and a packet: more than
//! all else that is done with it. So what came is held back for one turn of the
//! runtime, which gives the upstream's connection the chance to hand over what it
//! has read already. Nothing waits for what is not there yet.

use bytes::{Bytes, BytesMut};

/// What is gathered at most.
const ENOUGH: usize = 16 << 10;

/// What may go out, and has not yet.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    first: Bytes,
    /// What came after it, with it in front. The first alone is not copied.
    all: BytesMut,
    /// The upstream had a turn since the last part came.
    asked_again: bool,
}

impl Gathered {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.all.is_empty()
    }

    /// Adds a part. Whether it is enough.
    pub(super) fn add(&mut self, part: Bytes) -> bool {
        self.asked_again = false;
        if self.is_empty() {
            self.first = part;
        } else {
            let first = std::mem::take(&mut self.first);
            self.all.extend_from_slice(&first);
            self.all.extend_from_slice(&part);
        }
        self.first.len() + self.all.len() >= ENOUGH
    }

    /// Whether the upstream is to have a turn before what is there goes out.
    pub(super) fn ask_again(&mut self) -> bool {
        !self.is_empty() && !std::mem::replace(&mut self.asked_again, true)
    }

    /// Everything, if there is anything.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.asked_again = false;
        if self.all.is_empty() {
            let first = std::mem::take(&mut self.first);
            return (!first.is_empty()).then_some(first);
        }
        Some(self.all.split().freeze())
    }
}
