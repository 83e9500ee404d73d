//! The byte stream that HTTP/2 reads and writes: drives a [`Link`] over whichever
//! connection there is.
//!
//! It also drives the heartbeat, on every poll and on a timer of its own, so that pings
//! are outside HTTP/2 and its flow control.

mod line;

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::{Instant, Sleep},
};

pub(crate) use self::line::Parting;
use self::line::{Event, Line};
use crate::{
    CloseCode, CloseReason, HeartbeatPolicy,
    handle::{Attach, Handle},
    link::{Link, MAX_PAYLOAD, Window, greeting::Welcome},
    transport::Transport,
};

/// An honest other end acknowledges within a heartbeat or two.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(60);

/// How a link is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) heartbeat: HeartbeatPolicy,
    /// How long it may be without a connection; zero if it ends with its first.
    pub(crate) grace: Duration,
    /// Bytes it may keep.
    pub(crate) window: usize,
}

/// The byte stream. Dropping it gives its connection to whoever waits for it.
#[derive(Debug)]
pub(crate) struct LinkIo {
    line: Option<Line>,
    give_back: Option<oneshot::Sender<Parting>>,
    link: Link,
    inbound: VecDeque<Bytes>,
    policy: Policy,
    /// Until when there must be a connection again.
    deadline: Instant,
    /// What the other end had acknowledged, and since when.
    progress: (u64, Instant),
    /// The other side has ended the link: it does when what it sent before is read.
    ending: Option<CloseReason>,
    /// A writer waits for an acknowledgement.
    waits_for_room: bool,
    timer: Pin<Box<Sleep>>,
    handle: Arc<Handle>,
}

impl Drop for LinkIo {
    fn drop(&mut self) {
        // HTTP/2 may be done before it has read up to the other side's goodbye.
        if let Some(reason) = self.ending.take() {
            self.handle.end(reason);
        }
        if let (Some(line), Some(give_back)) = (self.line.take(), self.give_back.take()) {
            // Nobody waiting means that everything is being dropped.
            let _ = give_back.send(line.parting);
        }
    }
}

impl LinkIo {
    /// A stream over `transport`, which the greeting opens, and where its last connection comes back in the end.
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        greeting: Option<Bytes>,
        policy: Policy,
        handle: Arc<Handle>,
    ) -> (Self, oneshot::Receiver<Parting>) {
        let (give_back, given_back) = oneshot::channel();
        let now = Instant::now();
        let window = Window {
            bytes: policy.window,
            resumable: !policy.grace.is_zero(),
        };
        let mut line = Line::new(transport, policy.heartbeat, &handle);
        line.greeting = greeting;
        let stream = Self {
            line: Some(line),
            give_back: Some(give_back),
            link: Link::new(window),
            inbound: VecDeque::new(),
            policy,
            deadline: now,
            progress: (0, now),
            ending: None,
            waits_for_room: false,
            timer: Box::pin(tokio::time::sleep_until(now)),
            handle,
        };
        (stream, given_back)
    }

    /// Ends the link, and says so to HTTP/2.
    fn end(&self, reason: CloseReason) -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionAborted, self.handle.end(reason))
    }

    /// The other side will send no more.
    fn ends(&mut self, reason: CloseReason) -> io::Result<()> {
        if self.inbound.is_empty() {
            return Err(self.end(reason));
        }
        self.ending.get_or_insert(reason);
        Ok(())
    }

    /// The connection broke. The link ends, too, if it cannot be resumed.
    fn broke(&mut self, reason: CloseReason) -> io::Result<()> {
        if self.policy.grace.is_zero() {
            return self.ends(reason);
        }
        if let Some(line) = self.line.take() {
            line.parting.abandon();
            tracing::debug!(%reason, "the tunnel's connection broke");
            self.deadline = Instant::now() + self.policy.grace;
            self.handle.detached(reason, self.link.received());
        }
        Ok(())
    }

    /// What every poll does first: notice an end or a new connection, take what arrived,
    /// mind the time, send what is due.
    fn drive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.handle.register(cx.waker());
        if let Some(reason) = self.handle.ended() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason));
        }
        if let Some(reason) = self.ending.take() {
            return self.ends(reason);
        }
        if let Some(attach) = self.handle.take_next() {
            self.attach(attach)?;
        }
        self.receive(cx, MAX_PAYLOAD)?;
        // Nobody listens any more.
        if self.ending.is_some() {
            return Ok(());
        }
        self.beat(cx)?;
        self.wait_for_connection(cx)?;
        self.pump(cx)
    }

    /// Goes on with a new connection. Whatever the old one still carries is lost, and
    /// the other end sends it again.
    fn attach(&mut self, attach: Attach) -> io::Result<()> {
        if let Some(line) = self.line.take() {
            line.parting.abandon();
        }
        let mut line = Line::new(attach.transport, self.policy.heartbeat, &self.handle);
        let resumed = self.link.resume(attach.received);
        if attach.welcome {
            let received = self.link.received();
            line.greeting = Some(Welcome::Resumed { received }.write());
        }
        self.line = Some(line);
        resumed.map_err(|violation| {
            self.end(CloseReason::local(
                CloseCode::PROTOCOL,
                violation.to_string(),
            ))
        })?;
        self.progress.1 = Instant::now();
        self.handle.attached();
        Ok(())
    }

    /// Takes messages until `enough` bytes wait to be read.
    fn receive(&mut self, cx: &mut Context<'_>, enough: usize) -> io::Result<()> {
        while self.ending.is_none()
            && self.link.unconsumed() < enough as u64
            && let Some(line) = &mut self.line
        {
            let Poll::Ready(event) = line.poll_receive(cx, &self.handle) else {
                break;
            };
            match event {
                Event::Message(message) => self.take(cx, message)?,
                Event::Broke(reason) => self.broke(reason)?,
                Event::Ended(reason) => self.ends(reason)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, cx: &Context<'_>, message: Bytes) -> io::Result<()> {
        let payload = self.link.receive(message).map_err(|violation| {
            self.end(CloseReason::local(
                CloseCode::PROTOCOL,
                violation.to_string(),
            ))
        })?;
        if !payload.is_empty() {
            let figures = &self.handle.figures;
            figures
                .bytes_in
                .fetch_add(payload.len() as u64, Ordering::Relaxed);
            self.inbound.push_back(payload);
        }
        if self.waits_for_room && self.link.unacknowledged() < self.link.window() {
            // HTTP/2 may be past its writing by now.
            self.waits_for_room = false;
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Asks whether the other side lives when it is time to, and finds the dead.
    fn beat(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some(line) = &mut self.line {
            match line.beat() {
                Ok(Some(until)) => {
                    if self.timer.deadline() != until {
                        self.timer.as_mut().reset(until);
                    }
                    if self.timer.as_mut().poll(cx).is_pending() {
                        break;
                    }
                }
                Ok(None) => {
                    self.link.tell();
                    self.check_progress()?;
                }
                Err(lost @ CloseReason::Lost { .. }) => return self.failed(cx, lost),
                Err(reason) => return self.broke(reason),
            }
        }
        Ok(())
    }

    /// The other side must acknowledge now and then, or what is kept for it would be
    /// kept for ever.
    fn check_progress(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let acknowledged = self.link.progress();
        if self.link.unacknowledged() == 0 || acknowledged != self.progress.0 {
            self.progress = (acknowledged, now);
        } else if now.duration_since(self.progress.1) >= ACKNOWLEDGE_WITHIN {
            return Err(self.end(CloseReason::local(
                CloseCode::PROTOCOL,
                format!(
                    "nothing was acknowledged for {} s",
                    ACKNOWLEDGE_WITHIN.as_secs()
                ),
            )));
        }
        Ok(())
    }

    fn wait_for_connection(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.line.is_some() {
            return Ok(());
        }
        if self.timer.deadline() != self.deadline {
            self.timer.as_mut().reset(self.deadline);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        let grace = self.policy.grace.as_secs_f32();
        Err(self.end(CloseReason::Lost {
            error: format!("the connection broke and was not replaced within {grace} s"),
        }))
    }

    /// Sends what is due, as far as the connection takes it.
    fn pump(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let figures = &self.handle.figures;
        figures
            .replay_depth
            .store(self.link.unacknowledged(), Ordering::Relaxed);
        let Some(line) = &mut self.line else {
            return Ok(());
        };
        if self.ending.is_some() {
            return Ok(());
        }
        match line.pump(cx, &mut self.link) {
            Ok(()) => Ok(()),
            Err(error) => self.failed(cx, error.into()),
        }
    }

    /// Nothing can be sent any more. What the other side said before is still there to be
    /// read, and its goodbye counts for more than that it has hung up since.
    fn failed(&mut self, cx: &mut Context<'_>, reason: CloseReason) -> io::Result<()> {
        if !matches!(reason, CloseReason::Lost { .. }) {
            return Err(self.end(reason));
        }
        self.receive(cx, self.link.window())?;
        if self.ending.is_some() {
            return Ok(());
        }
        self.broke(reason)
    }

    /// Makes a message of what is gathered if the connection takes it now; whether it
    /// did.
    fn poll_seal(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let ready = match &mut self.line {
            Some(line) if !line.is_behind(&self.link) => line.poll_ready(cx),
            _ => return Ok(false),
        };
        match ready {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => {
                self.link.seal();
                self.pump(cx).map(|()| true)
            }
            Poll::Ready(Err(error)) => self.failed(cx, error.into()).map(|()| false),
        }
    }

    fn gather(&mut self, slices: &[IoSlice<'_>]) -> usize {
        let mut gathered = 0;
        self.link
            .expect(slices.iter().map(|slice| slice.len()).sum());
        for slice in slices {
            let taken = self.link.write(slice);
            gathered += taken;
            if taken < slice.len() {
                break;
            }
        }
        let figures = &self.handle.figures;
        figures
            .bytes_out
            .fetch_add(gathered as u64, Ordering::Relaxed);
        gathered
    }

    fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.drive(cx)?;
        // Nobody will read it; and HTTP/2 must not wait to write, or it never reads on to
        // the end.
        if self.ending.is_some() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        loop {
            let gathered = self.gather(slices);
            if gathered > 0 {
                return Poll::Ready(Ok(gathered));
            }
            if !self.link.has_gathered() {
                break;
            }
            if !self.poll_seal(cx)? {
                return Poll::Pending;
            }
        }
        // The window is full. Acknowledgements are read even while HTTP/2 reads nothing.
        self.waits_for_room = true;
        self.receive(cx, self.link.window())?;
        Poll::Pending
    }
}

impl AsyncRead for LinkIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.drive(cx)?;
        let before = buffer.filled().len();
        while buffer.remaining() > 0
            && let Some(first) = this.inbound.front_mut()
        {
            let taken = first.len().min(buffer.remaining());
            buffer.put_slice(&first[..taken]);
            first.advance(taken);
            if first.is_empty() {
                this.inbound.pop_front();
            }
        }
        let read = buffer.filled().len() - before;
        if read == 0 {
            return Poll::Pending;
        }
        this.link.consume(read);
        this.pump(cx)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LinkIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_gather(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_gather(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.drive(cx)?;
        if this.ending.is_some() {
            return Poll::Ready(Ok(()));
        }
        if this.link.has_gathered() && !this.poll_seal(cx)? {
            return Poll::Pending;
        }
        match &this.line {
            Some(line) if line.unflushed || line.is_behind(&this.link) => Poll::Pending,
            // What is kept for the next connection has left HTTP/2 for good.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The close itself is the session's to send.
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests;
