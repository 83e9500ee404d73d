//! Pacing over a simulated way: a bottleneck with a queue and a delay, a screen that is painted
//! sixty times a second, an encoder that hits its rate more or less. Seeded, on a virtual clock.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use helix_stream::pacing::{Options, Pacing, Verdict};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

const STEP: Duration = Duration::from_millis(1);
const FRAME: Duration = Duration::from_micros(16_667);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The way to the viewer.
struct Way {
    /// From when on it carries how much, in bits per second; 0 is a stall.
    rates: Vec<(Duration, f64)>,
    /// One direction.
    delay: Duration,
    /// What is queued: sequence, when its picture was captured, bytes that have not left.
    queue: VecDeque<(u32, Instant, f64)>,
    /// What has left: when it arrives.
    air: VecDeque<(Instant, u32, Instant)>,
}

impl Way {
    fn carry(&mut self, at: Duration, now: Instant) {
        let rate = self.rates.iter().rev().find(|(from, _)| *from <= at);
        let mut bytes = rate.map_or(0.0, |(_, rate)| *rate) / 8.0 * STEP.as_secs_f64();
        while let Some(first) = self.queue.front_mut() {
            if first.2 > bytes {
                first.2 -= bytes;
                return;
            }
            bytes -= first.2;
            let (sequence, captured, _) = self.queue.pop_front().unwrap();
            self.air.push_back((now + self.delay, sequence, captured));
        }
    }
}

struct World {
    random: StdRng,
    start: Instant,
    now: Instant,
    pacing: Pacing,
    way: Way,
    /// Whether the desktop changes all the time.
    moves: bool,
    /// What is at the viewer and not painted.
    decoded: Option<(u32, Instant)>,
    painted: Option<Instant>,
    /// What the viewer said, and when that arrives.
    said: VecDeque<(Instant, u32)>,
    sequence: u32,
    keys: u32,
    frames: Vec<Duration>,
    /// How old the picture on the screen was, each millisecond.
    ages: Vec<(Duration, Duration)>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "an arbitrary zero")]
    fn new(seed: u64, delay: Duration, rates: &[(Duration, f64)]) -> Self {
        let start = Instant::now();
        Self {
            random: StdRng::seed_from_u64(seed),
            start,
            now: start,
            pacing: Pacing::new(Options::default(), start),
            way: Way {
                rates: rates.to_vec(),
                delay,
                queue: VecDeque::new(),
                air: VecDeque::new(),
            },
            moves: true,
            decoded: None,
            painted: None,
            said: VecDeque::new(),
            sequence: 0,
            keys: 0,
            frames: Vec::new(),
            ages: Vec::new(),
        }
    }

    fn at(&self) -> Duration {
        self.now - self.start
    }

    /// Whether a tick of something that comes each `FRAME` is in this step.
    fn ticks(&self, offset: Duration) -> bool {
        let count = |at: Duration| (at + offset).as_micros() / FRAME.as_micros();
        count(self.at() + STEP) != count(self.at())
    }

    fn run(&mut self, until: Duration) {
        while self.at() < until {
            if self.ticks(Duration::ZERO) {
                self.desktop();
            }
            self.way.carry(self.at(), self.now);
            while self.way.air.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (_, sequence, captured) = self.way.air.pop_front().unwrap();
                self.decoded = Some((sequence, captured));
            }
            if self.ticks(ms(7))
                && let Some((sequence, captured)) = self.decoded.take()
            {
                self.painted = Some(captured);
                self.said.push_back((self.now + self.way.delay, sequence));
            }
            while self.said.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, sequence) = self.said.pop_front().unwrap();
                self.pacing.painted(sequence, 0, self.now);
            }
            if let Some(painted) = self.painted {
                self.ages.push((self.at(), self.now - painted));
            }
            self.now += STEP;
        }
    }

    /// The desktop may have changed: what is sent is of the size that the encoder aims at, more
    /// or less, and a key frame is four times that.
    fn desktop(&mut self) {
        let first = self.sequence == 0;
        if !self.moves && !self.pacing.needs_key() && !first {
            return;
        }
        if self.pacing.verdict(self.now) != Verdict::Send {
            return;
        }
        let key = self.pacing.needs_key();
        let usual = self.pacing.target().bytes_in(FRAME) as f64;
        let factor = if key {
            4.0
        } else {
            self.random.random_range(0.5..1.5)
        };
        let bytes = usual * factor;
        self.sequence += 1;
        self.keys += u32::from(key);
        self.frames.push(self.at());
        // The float is positive and small.
        self.pacing
            .sent(self.sequence, bytes as usize, key, self.now);
        self.way.queue.push_back((self.sequence, self.now, bytes));
    }

    fn oldest(&self, from: Duration, to: Duration) -> Duration {
        let within = self.ages.iter().filter(|(at, _)| (from..to).contains(at));
        within.map(|(_, age)| *age).max().unwrap()
    }

    fn frames(&self, from: Duration, to: Duration) -> usize {
        self.frames
            .iter()
            .filter(|at| (from..to).contains(at))
            .count()
    }
}

#[test]
fn through_a_step_from_ten_to_four_the_picture_is_never_old_and_soon_live() {
    for seed in 0..200 {
        let rates = [(ms(0), 10e6), (ms(5_000), 4e6), (ms(13_000), 10e6)];
        let mut world = World::new(seed, ms(10), &rates);
        world.run(ms(16_000));
        let oldest = world.oldest(ms(5_000), ms(13_000));
        assert!(oldest <= ms(400), "seed {seed}: {oldest:?}");
        // Live: as fresh as over this way without any queue, give or take two refreshes.
        let live = world.oldest(ms(6_000), ms(13_000));
        assert!(
            live <= ms(150),
            "seed {seed}: {live:?} a second after the step"
        );
        assert_eq!(world.keys, 1, "seed {seed}");
        let frames = world.frames(ms(6_000), ms(13_000));
        assert!(
            frames >= 7 * 45,
            "seed {seed}: {frames} frames in seven seconds of 4 Mbit/s"
        );
        let frames = world.frames(ms(14_000), ms(16_000));
        assert!(
            frames >= 2 * 55,
            "seed {seed}: {frames} frames in two seconds after it"
        );
    }
}

#[test]
fn the_rate_follows_what_the_way_carries_down_and_up() {
    for seed in 0..50 {
        let rates = [(ms(0), 10e6), (ms(5_000), 4e6), (ms(13_000), 40e6)];
        let mut world = World::new(seed, ms(10), &rates);
        world.run(ms(12_000));
        let low = world.pacing.target().kbits();
        assert!(
            (2_000..=5_000).contains(&low),
            "seed {seed}: {low} kbit/s over 4 Mbit/s"
        );
        world.run(ms(30_000));
        let high = world.pacing.target().kbits();
        assert!(high >= 10_000, "seed {seed}: {high} kbit/s over 40 Mbit/s");
    }
}

#[test]
fn ways_of_many_kinds_are_used_and_do_not_queue() {
    for (rate, delay) in [
        (1e6, 20),
        (2e6, 80),
        (5e6, 5),
        (20e6, 100),
        (100e6, 1),
        (100e6, 150),
    ] {
        let mut world = World::new(1, ms(delay), &[(ms(0), rate)]);
        world.run(ms(15_000));
        let oldest = world.oldest(ms(5_000), ms(15_000));
        let most = ms(delay) + ms(200);
        assert!(oldest <= most, "{rate} {delay}: {oldest:?}");
        let frames = world.frames(ms(5_000), ms(15_000));
        assert!(
            frames >= 300,
            "{rate} {delay}: {frames} frames in ten seconds"
        );
    }
}

#[test]
fn after_a_stall_there_is_one_key_frame_and_the_picture_is_live_within_a_second() {
    for seed in 0..50 {
        let rates = [(ms(0), 10e6), (ms(5_000), 0.0), (ms(8_000), 10e6)];
        let mut world = World::new(seed, ms(20), &rates);
        world.run(ms(12_000));
        assert_eq!(world.keys, 2, "seed {seed}");
        assert_eq!(world.frames(ms(6_100), ms(8_000)), 0, "seed {seed}");
        let live = world.oldest(ms(9_000), ms(12_000));
        assert!(live <= ms(200), "seed {seed}: {live:?}");
    }
}

#[test]
fn short_stalls_cost_no_key_frame() {
    for seed in 0..50 {
        let rates = [(ms(0), 8e6), (ms(3_000), 0.0), (ms(3_500), 8e6)];
        let mut world = World::new(seed, ms(20), &rates);
        world.run(ms(6_000));
        assert_eq!(world.keys, 1, "seed {seed}");
        let live = world.oldest(ms(4_500), ms(6_000));
        assert!(live <= ms(200), "seed {seed}: {live:?}");
    }
}

#[test]
fn a_desktop_that_does_not_change_sends_nothing() {
    let mut world = World::new(1, ms(20), &[(ms(0), 10e6)]);
    world.moves = false;
    world.run(ms(60_000));
    assert_eq!(world.sequence, 1);
}

#[test]
fn ways_that_change_at_random_never_lock_up() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut rates = Vec::new();
        for second in 0..20 {
            let rate = [0.0, 0.5e6, 2e6, 10e6, 50e6][random.random_range(0..5)];
            rates.push((ms(second * 1_000), rate));
        }
        rates.push((ms(20_000), 10e6));
        let delay = ms(random.random_range(1..150));
        let mut world = World::new(seed, delay, &rates);
        world.run(ms(45_000));
        let live = world.oldest(ms(40_000), ms(45_000));
        assert!(live <= delay + ms(250), "seed {seed}: {live:?}");
        assert!(world.keys <= 22, "seed {seed}: {} key frames", world.keys);
    }
}
