//! The link: a byte stream that outlives its connections. Pure.
//!
//! Both ends number the bytes that they send. What was sent is kept until the other end
//! has acknowledged it; when a connection is replaced, each end says how far it has
//! received, and the other goes on from there. So the bytes above arrive whole, once and
//! in order, whatever happened to the connections below.
//!
//! There is no clock, no socket and no task in here: a driver hands in messages, and asks
//! what to send. Heartbeats are not part of it, since they are about one connection.

pub mod frame;
pub mod greeting;
mod replay;

use bytes::{Bytes, BytesMut};

use self::{
    frame::{DATA_HEADER, Frame},
    replay::Replay,
};

/// Bytes gathered into one message at most.
pub const MAX_PAYLOAD: usize = 128 << 10;

/// What the other end did that no honest end does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A message that cannot be read.
    #[error("not a message of a tunnel: {0}")]
    Malformed(&'static str),
    /// Bytes from beyond those that have arrived.
    #[error("bytes from {offset} on, where those from {expected} on come next")]
    Gap {
        /// Where they began.
        offset: u64,
        /// Where they had to begin.
        expected: u64,
    },
    /// An acknowledgement of bytes that were never sent.
    #[error("an acknowledgement of {acknowledged} bytes, where {sent} were sent")]
    NeverSent {
        /// What it acknowledged.
        acknowledged: u64,
        /// What had been sent.
        sent: u64,
    },
    /// A resumption from bytes that were acknowledged before, and are gone.
    #[error("a resumption at {received}, where {acknowledged} had been acknowledged")]
    Forgotten {
        /// Where it wanted to go on.
        received: u64,
        /// What it had acknowledged.
        acknowledged: u64,
    },
}

/// How much a link keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Bytes that were sent and not yet acknowledged; when there are this many, nothing
    /// more is taken.
    pub bytes: usize,
    /// Whether what was sent is kept at all. Without, nothing is acknowledged, and the
    /// link ends with its connection.
    pub resumable: bool,
}

/// One end of a link.
#[derive(Debug)]
pub struct Link {
    window: Window,
    gathered: BytesMut,
    replay: Replay,
    /// Bytes of the other end that have arrived.
    received: u64,
    /// Those of them that were handed upwards.
    consumed: u64,
    /// Those of them of which the other end was told on this connection.
    told: u64,
    /// Whether to tell, even if it is not much.
    tell: bool,
}

impl Link {
    /// An end that has sent and received nothing.
    pub fn new(window: Window) -> Self {
        let window = Window {
            bytes: window.bytes.max(1),
            ..window
        };
        Self {
            window,
            gathered: BytesMut::new(),
            replay: Replay::default(),
            received: 0,
            consumed: 0,
            told: 0,
            tell: false,
        }
    }

    /// How far the other end's bytes have arrived: what to say when resuming.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that have arrived and were not handed upwards yet.
    pub const fn unconsumed(&self) -> u64 {
        self.received - self.consumed
    }

    /// Bytes that would be sent again if the connection broke now.
    pub fn unacknowledged(&self) -> usize {
        self.replay.bytes()
    }

    /// The most that the other end may leave unconsumed here.
    pub const fn window(&self) -> usize {
        self.window.bytes
    }

    /// Whether bytes are gathered that are in no message yet.
    pub fn has_gathered(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// Gathers bytes to send; how many were taken. None means that a message has to go
    /// first ([`Self::seal`]), or that the other end has to acknowledge something.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let gathered = self.gathered.len().saturating_sub(DATA_HEADER);
        let window = self.window.bytes - self.replay.bytes().min(self.window.bytes);
        let room = MAX_PAYLOAD.min(window).saturating_sub(gathered);
        let taken = bytes.len().min(room);
        if taken > 0 {
            if self.gathered.is_empty() {
                self.expect(bytes.len());
                self.gathered.extend_from_slice(&[0; DATA_HEADER]);
            }
            self.gathered.extend_from_slice(&bytes[..taken]);
        }
        taken
    }

    /// Says how much will be written, so that there is room for it at once. The header's
    /// is part of it, so that no message is ever copied again.
    pub fn expect(&mut self, bytes: usize) {
        if self.gathered.capacity() == 0 {
            self.gathered = self.replay.buffer(DATA_HEADER + bytes);
        }
    }

    /// Makes a message of what is gathered; it comes out of [`Self::pop`].
    pub fn seal(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let mut message = std::mem::take(&mut self.gathered);
        frame::put_data_header(&mut message, self.replay.end(), self.consumed);
        self.has_told();
        self.replay.push(message.freeze());
    }

    /// Whether [`Self::pop`] has something.
    pub fn has_next(&self) -> bool {
        self.replay.has_unsent() || self.owes_acknowledgement()
    }

    /// The next message for the connection there is. Asking is sending: it is given once
    /// for each connection.
    pub fn pop(&mut self) -> Option<Bytes> {
        if let Some(message) = self.replay.pop(self.window.resumable) {
            return Some(message);
        }
        if !self.owes_acknowledgement() {
            return None;
        }
        self.has_told();
        Some(frame::ack(self.consumed))
    }

    /// Often enough that the other end's window never runs dry, seldom enough to cost
    /// nothing.
    fn owes_acknowledgement(&self) -> bool {
        let untold = self.consumed - self.told;
        let enough = (self.window.bytes / 32).max(1) as u64;
        self.window.resumable && untold > 0 && (self.tell || untold >= enough)
    }

    const fn has_told(&mut self) {
        self.told = self.consumed;
        self.tell = false;
    }

    /// Has the next message tell how far this end is, however little that is: called now
    /// and then, so that an idle link keeps nothing.
    pub fn tell(&mut self) {
        self.tell = true;
        self.replay.shrink();
    }

    /// Takes a message; the bytes in it that are new, perhaps none.
    ///
    /// # Errors
    ///
    /// The other end is not honest, and nothing it says can be used.
    pub fn receive(&mut self, message: Bytes) -> Result<Bytes, Violation> {
        match Frame::read(message)? {
            Frame::Data {
                offset,
                acknowledged,
                payload,
            } => {
                self.acknowledged(acknowledged)?;
                self.data(offset, payload)
            }
            Frame::Ack { acknowledged } => {
                self.acknowledged(acknowledged)?;
                Ok(Bytes::new())
            }
        }
    }

    fn data(&mut self, offset: u64, mut payload: Bytes) -> Result<Bytes, Violation> {
        let Some(known) = self.received.checked_sub(offset) else {
            return Err(Violation::Gap {
                offset,
                expected: self.received,
            });
        };
        // What was sent again, since the other end did not know that it had arrived.
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let new = payload.split_off(known.min(payload.len()));
        self.received = self
            .received
            .checked_add(new.len() as u64)
            .ok_or(Violation::Malformed("an offset beyond all offsets"))?;
        Ok(new)
    }

    fn acknowledged(&mut self, acknowledged: u64) -> Result<(), Violation> {
        if acknowledged > self.replay.sent() {
            return Err(Violation::NeverSent {
                acknowledged,
                sent: self.replay.sent(),
            });
        }
        self.replay.acknowledge(acknowledged);
        Ok(())
    }

    /// Bytes that [`Self::receive`] gave were handed upwards.
    ///
    /// # Panics
    ///
    /// If they are more than it gave.
    pub fn consume(&mut self, bytes: usize) {
        assert!(bytes as u64 <= self.unconsumed(), "more than has arrived");
        self.consumed += bytes as u64;
    }

    /// There is a new connection, whose other end has received this much: everything
    /// from there on is sent again.
    ///
    /// # Errors
    ///
    /// The other end claims what cannot be.
    pub fn resume(&mut self, received: u64) -> Result<(), Violation> {
        if received > self.replay.sent() {
            return Err(Violation::NeverSent {
                acknowledged: received,
                sent: self.replay.sent(),
            });
        }
        self.replay.rewind(received)?;
        // The last that was told may have been lost with the connection.
        self.told = 0;
        self.tell = true;
        Ok(())
    }

    /// How far the other end has acknowledged.
    pub const fn progress(&self) -> u64 {
        self.replay.acknowledged()
    }
}
