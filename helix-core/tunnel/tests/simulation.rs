//! Two ends of a link, over connections that break anywhere: seeded, without a clock,
//! without a socket.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::VecDeque, sync::LazyLock};

use bytes::{BufMut as _, Bytes, BytesMut};
use helix_tunnel::link::{Link, MAX_PAYLOAD, Violation, Window};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng as _, rngs::StdRng};

const SCHEDULES: u64 = 10_000;

/// Length of the patterns: prime, so that no power of two hides a shift.
const PATTERN: usize = 8_191;

/// What a stream carries from this offset on, so that any byte out of place is seen.
fn pattern(stream: u64, offset: u64, length: usize) -> &'static [u8] {
    static PATTERNS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
        [1, 2].map(|seed| {
            let mut pattern = vec![0; PATTERN];
            StdRng::seed_from_u64(seed).fill(&mut pattern[..]);
            pattern.repeat(10)
        })
    });
    let start = (offset % PATTERN as u64) as usize;
    &PATTERNS[usize::try_from(stream).unwrap()][start..start + length]
}

/// One direction of one connection: bytes on their way, and the part of a message that
/// has arrived.
#[derive(Debug, Default)]
struct Wire {
    on_the_way: BytesMut,
    arrived: BytesMut,
}

impl Wire {
    fn send(&mut self, message: &[u8]) {
        let length = u32::try_from(message.len()).unwrap();
        self.on_the_way.put_u32(length);
        self.on_the_way.put_slice(message);
    }

    /// Some bytes arrive; the messages that are whole with them.
    fn arrive(&mut self, bytes: usize) -> Vec<Bytes> {
        let bytes = bytes.min(self.on_the_way.len());
        self.arrived.unsplit(self.on_the_way.split_to(bytes));
        let mut whole = Vec::new();
        while let Some(length) = self.arrived.first_chunk::<4>() {
            let end = 4 + u32::from_be_bytes(*length) as usize;
            if self.arrived.len() < end {
                break;
            }
            whole.push(self.arrived.split_to(end).freeze().slice(4..));
        }
        whole
    }
}

/// One end: its link, and what is above it.
#[derive(Debug)]
struct End {
    link: Link,
    stream: u64,
    to_send: u64,
    written: u64,
    inbox: VecDeque<Bytes>,
    read: u64,
    /// The connection that it believes in.
    connection: u64,
}

impl End {
    fn new(stream: u64, window: usize, to_send: u64) -> Self {
        let window = Window {
            bytes: window,
            resumable: true,
        };
        Self {
            link: Link::new(window),
            stream,
            to_send,
            written: 0,
            inbox: VecDeque::new(),
            read: 0,
            connection: 0,
        }
    }

    fn write(&mut self, random: &mut impl Rng) {
        let length = (self.to_send - self.written).min(random.random_range(1..2_000));
        let bytes = pattern(self.stream, self.written, length as usize);
        self.written += self.link.write(bytes) as u64;
        if random.random_bool(0.7) {
            self.link.seal();
        }
    }

    /// Reads a little of what the other end has sent, and checks each byte.
    fn read(&mut self, other: u64, random: &mut impl Rng) {
        let Some(mut first) = self.inbox.pop_front() else {
            return;
        };
        let piece = first.split_to(random.random_range(1..=first.len()));
        assert_eq!(
            piece,
            pattern(other, self.read, piece.len()),
            "at {}",
            self.read
        );
        self.read += piece.len() as u64;
        self.link.consume(piece.len());
        if !first.is_empty() {
            self.inbox.push_front(first);
        }
    }

    fn take(&mut self, message: Bytes) {
        let payload = self.link.receive(message).unwrap();
        assert!(self.link.unconsumed() <= self.link.window() as u64);
        if !payload.is_empty() {
            self.inbox.push_back(payload);
        }
    }
}

/// Everything between and around the two.
struct World {
    random: StdRng,
    ends: [End; 2],
    /// By connection; the last is the one there is. Older ones may still deliver, to an
    /// end that does not listen any more.
    wires: Vec<[Wire; 2]>,
    cuts: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let window = 1 << random.random_range(9..15);
        let size = |random: &mut StdRng| random.random_range(0..8_000);
        Self {
            ends: [
                End::new(0, window, size(&mut random)),
                End::new(1, window, size(&mut random)),
            ],
            wires: vec![Default::default()],
            cuts: random.random_range(0..30),
            random,
        }
    }

    fn is_done(&self) -> bool {
        let [a, b] = &self.ends;
        a.read == b.to_send && b.read == a.to_send
    }

    fn step(&mut self) {
        let at = self.random.random_range(0..2);
        match self.random.random_range(0..100) {
            0 if self.cuts > 0 => self.replace(),
            0..30 => self.ends[at].write(&mut self.random),
            30..55 => self.send(at),
            55..75 => self.deliver(at),
            75..97 => {
                let other = self.ends[1 - at].stream;
                self.ends[at].read(other, &mut self.random);
            }
            97 => self.ends[at].link.tell(),
            98 => self.deliver_late(at),
            _ => self.ends[at].link.seal(),
        }
        for end in &self.ends {
            assert!(end.link.unacknowledged() <= end.link.window());
        }
    }

    fn send(&mut self, at: usize) {
        let end = &mut self.ends[at];
        if end.connection as usize == self.wires.len() - 1
            && let Some(message) = end.link.pop()
        {
            let wire = &mut self.wires[end.connection as usize][at];
            wire.send(&message);
            if self.random.random_bool(0.02) {
                wire.send(&message);
            }
        }
    }

    fn deliver(&mut self, at: usize) {
        let last = self.wires.len() - 1;
        let bytes = self.random.random_range(1..4_000);
        for message in self.wires[last][1 - at].arrive(bytes) {
            if self.ends[at].connection == last as u64 {
                self.ends[at].take(message);
            }
        }
    }

    /// A connection that was given up still carries something, and is not listened to.
    fn deliver_late(&mut self, at: usize) {
        let old = self.random.random_range(0..self.wires.len());
        if old as u64 != self.ends[at].connection {
            self.wires[old][1 - at].arrive(usize::MAX);
        }
    }

    /// The connection breaks, after some bytes or other, and is replaced: the control
    /// plane (the second end) goes on at once, the agent when it hears; in between, the
    /// new connection may break, too.
    fn replace(&mut self) {
        self.cuts -= 1;
        for at in [0, 1] {
            if self.random.random() {
                self.deliver(at);
            }
        }
        let hello = self.ends[0].link.received();
        self.wires.push(Default::default());
        let new = self.wires.len() as u64 - 1;
        self.ends[1].link.resume(hello).unwrap();
        self.ends[1].connection = new;
        let welcome = self.ends[1].link.received();
        for _ in 0..self.random.random_range(0..20) {
            self.send(1);
        }
        if self.cuts > 0 && self.random.random_bool(0.2) {
            return self.replace();
        }
        self.ends[0].link.resume(welcome).unwrap();
        self.ends[0].connection = new;
    }

    /// Nothing breaks any more, and everybody does what is to be done.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            for at in [0, 1] {
                self.ends[at].write(&mut self.random);
                self.ends[at].link.seal();
                self.send(at);
                self.deliver(at);
                let other = self.ends[1 - at].stream;
                self.ends[at].read(other, &mut self.random);
            }
            if self.is_done() {
                return;
            }
        }
        panic!("{:?}", self.ends);
    }
}

/// Says which schedule failed.
struct Named(u64);

impl Drop for Named {
    #[expect(clippy::print_stderr, reason = "a failing test says which seed it was")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("schedule {}", self.0);
        }
    }
}

#[test]
fn ten_thousand_schedules_of_broken_connections_arrive_byte_exact() {
    for seed in 0..SCHEDULES {
        // A failure names its schedule.
        let _seed = Named(seed);
        let mut world = World::new(seed);
        let steps = world.random.random_range(0..300);
        for _ in 0..steps {
            world.step();
        }
        world.settle();
        for end in &mut world.ends {
            end.link.tell();
        }
        for _ in 0..2 {
            for at in [0, 1] {
                world.send(at);
                world.deliver(at);
            }
        }
    }
}

/// Two ends on one connection that never breaks.
fn pair() -> (Link, Link) {
    let window = Window {
        bytes: MAX_PAYLOAD,
        resumable: true,
    };
    (Link::new(window), Link::new(window))
}

fn message(link: &mut Link, bytes: &[u8]) -> Bytes {
    assert_eq!(link.write(bytes), bytes.len());
    link.seal();
    link.pop().unwrap()
}

#[test]
fn a_sender_that_nobody_acknowledges_stops_at_its_window_and_goes_on_after_it() {
    let (mut a, mut b) = pair();
    let piece = vec![7; 100_000];
    let mut taken = 0;
    while let more @ 1.. = a.write(&piece) {
        taken += more;
        a.seal();
    }
    assert_eq!(taken, MAX_PAYLOAD);
    while let Some(message) = a.pop() {
        let payload = b.receive(message).unwrap();
        b.consume(payload.len());
    }
    assert_eq!(a.write(&piece), 0);
    let acknowledgement = b.pop().unwrap();
    assert!(a.receive(acknowledgement).unwrap().is_empty());
    assert_eq!((a.write(&piece), a.unacknowledged()), (piece.len(), 0));
}

#[test]
fn an_idle_end_that_tells_leaves_nothing_to_keep() {
    let (mut a, mut b) = pair();
    let payload = b.receive(message(&mut a, b"small")).unwrap();
    b.consume(payload.len());
    assert_eq!((b.pop(), a.unacknowledged()), (None, 5));
    b.tell();
    a.receive(b.pop().unwrap()).unwrap();
    assert_eq!((b.pop(), a.unacknowledged()), (None, 0));
}

#[test]
fn without_resumption_nothing_is_kept_and_nothing_acknowledged() {
    let window = Window {
        bytes: MAX_PAYLOAD,
        resumable: false,
    };
    let (mut a, mut b) = (Link::new(window), Link::new(window));
    for _ in 0..100 {
        let payload = b.receive(message(&mut a, &[1; 10_000])).unwrap();
        b.consume(payload.len());
        b.tell();
        assert_eq!((b.pop(), a.unacknowledged()), (None, 0));
    }
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_a_violation() {
    let (mut a, mut b) = pair();
    let payload = b.receive(message(&mut a, b"12345")).unwrap();
    b.consume(payload.len());
    b.tell();
    let acknowledgement = b.pop().unwrap();
    let violation = Link::new(Window {
        bytes: 0,
        resumable: true,
    })
    .receive(acknowledgement);
    let expected = Violation::NeverSent {
        acknowledged: 5,
        sent: 0,
    };
    assert_eq!(violation, Err(expected));
    // What is gathered and not yet sent cannot have arrived either.
    assert_eq!(a.write(b"678"), 3);
    a.seal();
    assert!(matches!(a.resume(8), Err(Violation::NeverSent { .. })));
}

#[test]
fn bytes_from_beyond_the_next_are_a_violation() {
    let (mut a, mut b) = pair();
    let first = message(&mut a, b"one");
    let second = message(&mut a, b"two");
    assert_eq!(
        b.receive(second),
        Err(Violation::Gap {
            offset: 3,
            expected: 0
        })
    );
    assert_eq!(b.receive(first).unwrap(), "one");
}

#[test]
fn a_resumption_from_what_was_acknowledged_and_forgotten_is_a_violation() {
    let (mut a, mut b) = pair();
    let payload = b.receive(message(&mut a, b"12345")).unwrap();
    b.consume(payload.len());
    b.tell();
    a.receive(b.pop().unwrap()).unwrap();
    let expected = Violation::Forgotten {
        received: 2,
        acknowledged: 5,
    };
    assert_eq!(a.resume(2), Err(expected));
    assert_eq!(a.resume(5), Ok(()));
}

proptest! {
    #[test]
    fn whatever_arrives_is_taken_or_refused_and_memory_stays_bounded(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
    ) {
        let (mut link, _) = pair();
        for mut message in messages {
            // Mostly of a kind that there is.
            if let Some(kind) = message.first_mut() {
                *kind = 3 + *kind % 2;
            }
            let _ = link.receive(Bytes::from(message));
        }
        prop_assert_eq!(link.unacknowledged(), 0);
    }
}
