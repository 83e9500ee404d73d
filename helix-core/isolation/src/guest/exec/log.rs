//! What a program did, as events with sequence numbers, of which the newest are kept.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use helix_proto::sandbox::guest::{Exec, ExecEvent, ExecEventKind, ExecExit, Output};
use tokio::sync::watch;

/// How many events are kept, dropped stretches included.
const EVENTS: usize = 65_536;
/// How large an event may become while nobody has read it.
const CHUNK: usize = 64 * 1024;

/// Which output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// A program's events. Writers and readers do not wait for each other here.
#[derive(Debug)]
pub(crate) struct Log {
    state: Mutex<State>,
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    events: VecDeque<Event>,
    /// Bytes kept of each stream.
    kept: [usize; 2],
    /// The most that is kept of each stream.
    limit: usize,
    /// Output so far.
    total: u64,
    /// The newest event that somebody has read: it cannot grow any more.
    published: u64,
    ended: bool,
}

#[derive(Debug)]
struct Event {
    seq: u64,
    /// Output up to and with this event.
    total: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Started(Box<Exec>),
    Output(Stream, BytesMut),
    /// One or more events of output that are gone, of so many bytes.
    Dropped(u64),
    Exit(ExecExit),
}

/// Where a reader is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    seq: u64,
    /// Output before it, where that is known.
    total: Option<u64>,
}

impl Cursor {
    pub(crate) const fn after(seq: u64) -> Self {
        Self {
            seq,
            total: if seq == 0 { Some(0) } else { None },
        }
    }

    /// Output that the reader has had.
    pub(crate) fn total(&self) -> u64 {
        self.total.unwrap_or_default()
    }
}

impl Log {
    /// An empty log that keeps `limit` bytes of each stream.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State {
                events: VecDeque::new(),
                kept: [0; 2],
                limit,
                total: 0,
                published: 0,
                ended: false,
            }),
            newest: watch::channel(0).0,
        }
    }

    pub(crate) fn started(&self, exec: Exec) {
        self.push(What::Started(Box::new(exec)));
    }

    pub(crate) fn exited(&self, exit: ExecExit) {
        self.push(What::Exit(exit));
    }

    /// Appends output: to the last event, where nobody has seen it yet.
    pub(crate) fn output(&self, stream: Stream, bytes: &[u8]) {
        let mut state = self.lock();
        let published = state.published;
        let chunk_limit = CHUNK.min(state.limit / 4);
        state.total += bytes.len() as u64;
        let total = state.total;
        state.kept[stream as usize] += bytes.len();
        match state.events.back_mut() {
            Some(Event {
                seq,
                total: at,
                what: What::Output(same, chunk),
            }) if *same == stream
                && *seq > published
                && chunk.len() + bytes.len() <= chunk_limit =>
            {
                chunk.extend_from_slice(bytes);
                *at = total;
                state.trim();
            }
            _ => {
                drop(state);
                self.push(What::Output(stream, bytes.into()));
            }
        }
    }

    fn push(&self, what: What) {
        let mut state = self.lock();
        let seq = state.events.back().map_or(0, |event| event.seq) + 1;
        let total = state.total;
        state.ended |= matches!(what, What::Exit(_));
        state.events.push_back(Event { seq, total, what });
        state.trim();
        drop(state);
        self.newest.send_replace(seq);
    }

    /// Bytes of output kept.
    pub(crate) fn kept(&self) -> usize {
        self.lock().kept.iter().sum()
    }

    /// Output so far.
    pub(crate) fn total(&self) -> u64 {
        self.lock().total
    }

    /// Keeps less from now on.
    pub(crate) fn shrink(&self, limit: usize) {
        let mut state = self.lock();
        state.limit = state.limit.min(limit);
        state.trim();
    }

    /// The events behind `cursor`, about `most` bytes of them, which moves on; waits for
    /// the next one. Empty when there will be no more.
    pub(crate) async fn read(&self, cursor: &mut Cursor, most: usize) -> Vec<ExecEvent> {
        let mut newest = self.newest.subscribe();
        loop {
            newest.borrow_and_update();
            let (events, ended) = self.lock().read(cursor, most);
            if ended || !events.is_empty() || newest.changed().await.is_err() {
                return events;
            }
        }
    }

    /// What is kept of one stream, and how many bytes of both are gone.
    pub(crate) fn collect(&self, stream: Stream) -> (Output, u64) {
        let state = self.lock();
        let mut bytes = Vec::with_capacity(state.kept[stream as usize]);
        let mut dropped = 0;
        for event in &state.events {
            match &event.what {
                What::Output(same, chunk) if *same == stream => bytes.extend_from_slice(chunk),
                What::Dropped(bytes) => dropped += bytes,
                _ => {}
            }
        }
        (output(&bytes), dropped)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn trim(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            while self.kept[stream as usize] > self.limit && self.drop_oldest(Some(stream)) {}
        }
        while self.events.len() > EVENTS && self.drop_oldest(None) {}
    }

    /// Drops the oldest output, of one stream or any, or joins the first two stretches
    /// that are dropped already. Keeps the newest event, which may be growing.
    fn drop_oldest(&mut self, stream: Option<Stream>) -> bool {
        let last = self.events.len().saturating_sub(1);
        let Some(at) = self
            .events
            .iter()
            .take(last)
            .position(|event| match &event.what {
                What::Output(other, _) => stream.is_none_or(|stream| stream == *other),
                _ => false,
            })
        else {
            return false;
        };
        if let What::Output(stream, chunk) = &self.events[at].what {
            let bytes = chunk.len();
            self.kept[*stream as usize] -= bytes;
            self.events[at].what = What::Dropped(bytes as u64);
        }
        self.join(at);
        if at > 0 {
            self.join(at - 1);
        }
        true
    }

    /// Makes one stretch of the dropped events at `at` and behind it.
    fn join(&mut self, at: usize) {
        let (Some(first), Some(next)) = (self.events.get(at), self.events.get(at + 1)) else {
            return;
        };
        let (What::Dropped(first), What::Dropped(more)) = (&first.what, &next.what) else {
            return;
        };
        let bytes = first + more;
        self.events[at + 1].what = What::Dropped(bytes);
        self.events.remove(at);
    }

    fn read(&mut self, cursor: &mut Cursor, most: usize) -> (Vec<ExecEvent>, bool) {
        let from = self.events.partition_point(|event| event.seq <= cursor.seq);
        if cursor.total.is_none()
            && let Some(before) = from.checked_sub(1)
        {
            let before = &self.events[before];
            cursor.total = (before.seq == cursor.seq).then_some(before.total);
        }
        let mut bytes = 0;
        let mut read = Vec::new();
        for event in self.events.range(from..) {
            if bytes >= most {
                break;
            }
            let (what, size) = event.answer(cursor.total);
            bytes += size;
            read.push(ExecEvent {
                seq: event.seq,
                what,
            });
            *cursor = Cursor {
                seq: event.seq,
                total: Some(event.total),
            };
        }
        self.published = self.published.max(cursor.seq.min(self.newest()));
        (read, self.ended && cursor.seq >= self.newest())
    }

    fn newest(&self) -> u64 {
        self.events.back().map_or(0, |event| event.seq)
    }
}

impl Event {
    /// The event as it is sent to a reader that has had `before` bytes, and its size.
    fn answer(&self, before: Option<u64>) -> (ExecEventKind, usize) {
        match &self.what {
            What::Started(exec) => (ExecEventKind::Started((**exec).clone()), 256),
            What::Exit(exit) => (ExecEventKind::Exit(*exit), 64),
            What::Output(Stream::Out, chunk) => (ExecEventKind::Stdout(output(chunk)), chunk.len()),
            What::Output(Stream::Err, chunk) => (ExecEventKind::Stderr(output(chunk)), chunk.len()),
            What::Dropped(bytes) => {
                let missed = before.map_or(*bytes, |before| self.total.saturating_sub(before));
                (ExecEventKind::Dropped(missed.min(*bytes)), 64)
            }
        }
    }
}

/// Bytes as they are sent.
fn output(bytes: &[u8]) -> Output {
    match std::str::from_utf8(bytes) {
        Ok(text) => Output::Text(text.to_owned()),
        Err(_) => Output::Base64(STANDARD.encode(bytes)),
    }
}

/// Splits what was read where no character is cut: the rest, at most 3 bytes, waits for
/// what follows.
pub(crate) fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let width = match byte {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            0b1000_0000..=0b1011_1111 => continue,
            _ => return bytes.len(),
        };
        return if width > back {
            bytes.len() - back
        } else {
            bytes.len()
        };
    }
    bytes.len()
}

#[cfg(test)]
mod tests;
