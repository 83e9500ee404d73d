//! Two ends in one process, for tests and for programs that embed both sides.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::{Message, Transport, TransportError};

/// Messages on the way before the sender waits.
const CAPACITY: usize = 16;

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Message>,
    closed: bool,
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

impl Lane {
    fn wake(waker: &mut Option<Waker>) {
        if let Some(waker) = waker.take() {
            waker.wake();
        }
    }
}

/// One end of a pair. Dropping it hangs up.
#[derive(Debug)]
pub struct Memory {
    incoming: Arc<Mutex<Lane>>,
    outgoing: Arc<Mutex<Lane>>,
}

/// Two connected ends.
pub fn pair() -> (Memory, Memory) {
    let (there, back) = (Arc::default(), Arc::default());
    (
        Memory {
            incoming: Arc::clone(&back),
            outgoing: Arc::clone(&there),
        },
        Memory {
            incoming: there,
            outgoing: back,
        },
    )
}

fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hung_up() -> TransportError {
    TransportError::Io(io::ErrorKind::BrokenPipe.into())
}

impl Drop for Memory {
    fn drop(&mut self) {
        for lane in [&self.incoming, &self.outgoing] {
            let mut lane = lock(lane);
            lane.closed = true;
            Lane::wake(&mut lane.receiver);
            Lane::wake(&mut lane.sender);
        }
    }
}

impl Transport for Memory {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, TransportError>>> {
        let mut lane = lock(&self.incoming);
        let Some(message) = lane.queue.pop_front() else {
            if lane.closed {
                return Poll::Ready(None);
            }
            lane.receiver = Some(cx.waker().clone());
            return Poll::Pending;
        };
        Lane::wake(&mut lane.sender);
        drop(lane);
        if let Message::Ping(payload) = &message {
            // A dead line has nobody to answer.
            let _ = self.start_send(Message::Pong(payload.clone()));
        }
        Poll::Ready(Some(Ok(message)))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let mut lane = lock(&self.outgoing);
        if lane.closed {
            return Poll::Ready(Err(hung_up()));
        }
        if lane.queue.len() < CAPACITY {
            return Poll::Ready(Ok(()));
        }
        lane.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    fn start_send(&mut self, message: Message) -> Result<(), TransportError> {
        let mut lane = lock(&self.outgoing);
        if lane.closed {
            return Err(hung_up());
        }
        lane.queue.push_back(message);
        Lane::wake(&mut lane.receiver);
        Ok(())
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.poll_receive(cx) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
