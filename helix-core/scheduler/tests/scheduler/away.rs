//! Runners whose connection broke and is being replaced.

use helix_proto::runner::InstanceState;
use helix_scheduler::{Event, ModelSpec, Outcome, Stage};

use crate::world::*;

impl Bench {
    fn away(&mut self, number: u64) -> Vec<helix_scheduler::Action> {
        self.tell(Event::RunnerAway {
            runner: runner(number),
        })
    }

    fn back(&mut self, number: u64) -> Vec<helix_scheduler::Action> {
        self.tell(Event::RunnerBack {
            runner: runner(number),
        })
    }
}

/// One instance at most, with places for two.
fn single(number: u64) -> ModelSpec {
    ModelSpec {
        max_instances: 1,
        ..spec(number, 8)
    }
}

#[test]
fn what_is_in_flight_stays_and_what_comes_waits_until_the_connection_is_restored() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let id = bench.ready(1, 1);
    assert_eq!(bench.away(1), []);
    assert_eq!(bench.scheduler.running(), 1);
    assert_eq!(bench.ask(2, 1), []);
    let why = "the connection to machine-1 is being restored";
    assert_eq!(bench.why(2), why);
    assert_eq!(bench.scheduler.queue().waiting[0].reason, why);
    assert_eq!(bench.wait(30_000), []);
    assert_eq!(bench.finish(1, Outcome::Completed), []);
    assert_eq!(dispatched(&bench.back(1)), [(request(2), id)]);
}

#[test]
fn nothing_is_started_on_a_runner_that_is_away_and_nobody_is_turned_away_for_it() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    bench.wait(60_000);
    bench.away(1);
    assert_eq!(bench.ask(1, 1), []);
    assert_eq!(
        bench.why(1),
        "the connection to machine-1 is being restored"
    );
    assert_eq!(bench.wait(60_000), []);
    started_instance(&bench.back(1));
}

#[test]
fn another_runner_with_an_instance_serves_at_once() {
    let mut bench = Bench::with_gpu(24);
    bench.connect(2, vec![gpu("gpu-0", 24, 24)]);
    bench.put(ModelSpec {
        parallel: 1,
        ..spec(1, 8)
    });
    let first = bench.ready(1, 1);
    bench.ask(2, 1);
    let second = started_instance(&bench.wait(500));
    bench.report(second, InstanceState::Ready);
    bench.finish(1, Outcome::Completed);
    bench.finish(2, Outcome::Completed);
    let on = |bench: &Bench, id| bench.scheduler.instance(id).unwrap().runner;
    assert_ne!(on(&bench, first), on(&bench, second));
    bench.tell(Event::RunnerAway {
        runner: on(&bench, first),
    });
    assert_eq!(dispatched(&bench.ask(3, 1)), [(request(3), second)]);
}

#[test]
fn another_runner_with_room_takes_over_when_the_connection_stays_away() {
    let mut bench = Bench::with_gpu(24);
    bench.put(single(1));
    bench.ready(1, 1);
    bench.connect(2, vec![gpu("gpu-0", 24, 24)]);
    bench.away(1);
    assert_eq!(bench.ask(2, 1), []);
    assert_eq!(bench.wait(4_999), []);
    let elsewhere = started_instance(&bench.wait(1));
    assert_eq!(
        bench.scheduler.instance(elsewhere).unwrap().runner,
        runner(2)
    );
    assert_eq!(bench.why(2), "model-1 is starting on machine-2");
    let ready = bench.report(elsewhere, InstanceState::Ready);
    assert_eq!(dispatched(&ready), [(request(2), elsewhere)]);
    assert_eq!(bench.scheduler.running(), 2, "the one that is away goes on");
}

#[test]
fn a_start_that_could_not_be_confirmed_meanwhile_gets_its_time_again() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let id = started_instance(&bench.ask(1, 1));
    bench.away(1);
    assert_eq!(bench.wait(60_000), []);
    assert_eq!(bench.back(1), []);
    assert_eq!(bench.wait(29_999), []);
    assert_eq!(bench.scheduler.instance(id).unwrap().stage, Stage::Starting);
    assert_eq!(stopped(&bench.wait(1)), [id]);
}

#[test]
fn an_idle_instance_is_not_stopped_before_its_runner_is_back() {
    let mut bench = Bench::with_gpu(24);
    bench.put(ModelSpec {
        idle_timeout_ms: Some(1_000),
        ..spec(1, 8)
    });
    let id = bench.ready(1, 1);
    bench.away(1);
    bench.finish(1, Outcome::Completed);
    assert_eq!(bench.wait(2_000), []);
    assert_eq!(stopped(&bench.back(1)), [id]);
}

#[test]
fn a_runner_that_does_not_come_back_in_time_is_gone_as_ever() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    bench.ready(1, 1);
    bench.away(1);
    bench.ask(2, 1);
    bench.wait(60_000);
    bench.tell(Event::RunnerDown { runner: runner(1) });
    assert_eq!(bench.why(2), "waiting for machine-1 to reconnect");
    assert_eq!(bench.back(1), [], "what is gone is not away");
    assert_eq!(rejected(&bench.wait(5_000)).len(), 1);
}
