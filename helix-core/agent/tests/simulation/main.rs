//! An agent, its host and the control plane in a world where everything breaks: seeded, without
//! a clock, without a socket. Each of the three is killed at every step, and only what was
//! stored survives; the network cuts, delays, doubles and swaps.
//!
//! `HELIX_SCHEDULES=100000` runs more, `HELIX_SCHEDULE=N` only that one, and tells it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod agent;
mod checks;
mod control;
mod host;
mod network;
mod world;

use checks::Tally;
use world::World;

const SCHEDULES: u64 = 10_000;

/// Says which schedule failed.
struct Named(u64);

impl Drop for Named {
    #[expect(clippy::print_stderr, reason = "a failing test says which seed it was")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "HELIX_SCHEDULE={} cargo test -p helix-agent --test simulation",
                self.0
            );
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn run(seed: u64, tell: bool) -> Tally {
    // A failure names its schedule.
    let _named = Named(seed);
    let mut world = World::new(seed, tell);
    world.live();
    world.settle();
    checks::check(&world)
}

#[test]
fn every_prompt_ends_once_and_every_reader_reads_the_same_whatever_breaks() {
    if let Some(seed) = number("HELIX_SCHEDULE") {
        run(seed, true);
        return;
    }
    let schedules = number("HELIX_SCHEDULES").unwrap_or(SCHEDULES);
    let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let work = |worker| {
        let mut tally = Tally::default();
        for seed in (worker..schedules).step_by(usize::try_from(workers).unwrap()) {
            tally.add(run(seed, false));
        }
        tally
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers)
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        for worker in running {
            tally.add(worker.join().unwrap());
        }
    });
    if schedules >= SCHEDULES {
        tally.check();
    }
}
