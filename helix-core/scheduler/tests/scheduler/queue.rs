//! Rules of the queue: order, bounds, deadlines, and one end for each request.

use helix_proto::{
    ErrorCode, RequestId, model::EngineKind, queue::Priority, runner::InstanceState,
};
use helix_scheduler::{Action, Event, ModelSpec, Options, Outcome, RequestSpec};

use crate::world::*;

/// The order in which waiting requests are served when places come free.
fn served(bench: &mut Bench, first_in_flight: u64) -> Vec<RequestId> {
    let mut order = Vec::new();
    let mut in_flight = request(first_in_flight);
    loop {
        let outcome = Outcome::Completed;
        let next = dispatched(&bench.tell(Event::RequestFinished {
            request: in_flight,
            outcome,
        }));
        let Some((id, _)) = next.first() else {
            return order;
        };
        in_flight = *id;
        order.push(in_flight);
    }
}

fn one_place(bench: &mut Bench) {
    bench.put(ModelSpec {
        parallel: 1,
        ..spec(1, 8)
    });
    bench.ready(0, 1);
}

#[test]
fn higher_priorities_go_first_and_within_one_who_came_first() {
    let mut bench = Bench::with_gpu(24);
    one_place(&mut bench);
    let priorities = [
        Priority::Low,
        Priority::Normal,
        Priority::High,
        Priority::Normal,
        Priority::High,
    ];
    for (number, priority) in (1..).zip(priorities) {
        bench.tell(Event::RequestQueued(RequestSpec {
            priority,
            ..ask(number, 1)
        }));
    }
    let shown: Vec<_> = bench
        .scheduler
        .queue()
        .waiting
        .iter()
        .map(|waiting| waiting.id)
        .collect();
    assert_eq!(shown, [3, 5, 2, 4, 1].map(request));
    assert_eq!(served(&mut bench, 0), [3, 5, 2, 4, 1].map(request));
}

#[test]
fn a_request_of_low_priority_that_waited_long_goes_before_new_urgent_ones() {
    let mut bench = Bench::with_gpu(24);
    one_place(&mut bench);
    bench.tell(Event::RequestQueued(RequestSpec {
        priority: Priority::Low,
        ..ask(1, 1)
    }));
    bench.wait(19_000);
    bench.tell(Event::RequestQueued(RequestSpec {
        priority: Priority::High,
        ..ask(2, 1)
    }));
    bench.wait(2_000);
    bench.tell(Event::RequestQueued(RequestSpec {
        priority: Priority::High,
        ..ask(3, 1)
    }));
    assert_eq!(served(&mut bench, 0), [2, 1, 3].map(request));
}

#[test]
fn a_full_queue_says_when_to_come_again_but_free_places_are_given_anyway() {
    let mut bench = Bench::new(Options {
        queue_capacity: 2,
        ..options()
    });
    bench.connect(1, vec![gpu("gpu-0", 24, 24)]);
    one_place(&mut bench);
    bench.put(spec(2, 8));
    let other = bench.ready(10, 2);
    bench.ask(1, 1);
    bench.ask(2, 1);
    let actions = bench.ask(3, 1);
    let Action::Reject { why, .. } = &actions[0] else {
        panic!("{actions:?}")
    };
    assert_eq!(
        (why.code(), why.retry_after_ms()),
        (ErrorCode::TooManyRequests, Some(2_000))
    );
    assert_eq!(
        why.to_string(),
        "the queue is full: 2 requests are waiting; try again later"
    );
    assert_eq!(dispatched(&bench.ask(4, 2)), [(request(4), other)]);
}

#[test]
fn a_request_past_its_deadline_is_told_what_it_waited_for() {
    let mut bench = Bench::with_gpu(24);
    one_place(&mut bench);
    let deadline_at_ms = bench.now_ms + 3_000;
    bench.tell(Event::RequestQueued(RequestSpec {
        deadline_at_ms,
        ..ask(1, 1)
    }));
    assert_eq!(bench.wait(2_999), []);
    assert_eq!(
        rejected(&bench.wait(1)),
        [(
            request(1),
            "timed out after waiting 3.0 s for a place: all 1 places on 1 instance of model-1 are \
             taken; 0 requests go first"
                .to_owned()
        )]
    );
}

#[test]
fn a_cancelled_request_leaves_the_queue_or_frees_its_place() {
    let mut bench = Bench::with_gpu(24);
    one_place(&mut bench);
    bench.ask(1, 1);
    bench.ask(2, 1);
    let actions = bench.tell(Event::RequestCancelled {
        request: request(1),
    });
    assert_eq!(
        rejected(&actions),
        [(request(1), "the request was cancelled".to_owned())]
    );
    let actions = bench.tell(Event::RequestCancelled {
        request: request(0),
    });
    assert_eq!(dispatched(&actions)[0].0, request(2));
    assert_eq!(bench.finish(0, Outcome::Cancelled), [], "its end was known");
}

#[test]
fn a_request_lost_before_any_answer_is_queued_again_once_at_its_old_place() {
    let mut bench = Bench::with_gpu(24);
    one_place(&mut bench);
    bench.ask(1, 1);
    // The instance is left alone for a while, in case it is dead.
    assert_eq!(bench.finish(0, Outcome::LostBeforeResponse), []);
    let again = bench.wait(2_000);
    assert_eq!(dispatched(&again)[0].0, request(0), "it came first");
    let actions = bench.finish(0, Outcome::LostBeforeResponse);
    assert_eq!(
        rejected(&actions),
        [(
            request(0),
            "the instance that was to answer was lost, twice; try again".to_owned()
        )]
    );
    assert_eq!(dispatched(&bench.wait(2_000))[0].0, request(1));
}

#[test]
fn a_request_cancelled_in_flight_and_then_lost_is_told_so() {
    let mut bench = Bench::with_gpu(24);
    one_place(&mut bench);
    bench.tell(Event::RequestCancelled {
        request: request(0),
    });
    let actions = bench.finish(0, Outcome::LostBeforeResponse);
    assert_eq!(
        rejected(&actions),
        [(request(0), "the request was cancelled".to_owned())]
    );
}

#[test]
fn a_request_that_is_queued_twice_counts_once() {
    let mut bench = Bench::with_gpu(24);
    one_place(&mut bench);
    bench.ask(1, 1);
    assert_eq!(bench.ask(1, 1), []);
    assert_eq!(bench.ask(0, 1), []);
    assert_eq!(
        (bench.scheduler.waiting(), bench.scheduler.running()),
        (1, 1)
    );
}

#[test]
fn a_model_too_large_for_every_device_is_refused_at_once_with_both_sizes() {
    let mut bench = Bench::with_gpu(24);
    bench.connect(2, vec![gpu("gpu-0", 48, 1)]);
    bench.put(spec(1, 50));
    let actions = bench.ask(1, 1);
    let why = &rejected(&actions)[0].1;
    assert!(
        why.starts_with("model-1 needs 50.0 GiB on a device"),
        "{why}"
    );
    assert!(why.contains("48.0 GiB (Test GPU of machine-2)"), "{why}");
}

#[test]
fn without_a_runner_that_has_the_engine_a_request_is_refused_naming_what_there_is() {
    let mut bench = Bench::with_gpu(24);
    bench.put(ModelSpec {
        engine: EngineKind::Vllm,
        ..spec(1, 8)
    });
    assert_eq!(
        bench.ask(1, 1),
        [],
        "just started: others may still connect"
    );
    assert_eq!(bench.why(1), "waiting for a runner to connect");
    let why = rejected(&bench.wait(5_000));
    assert_eq!(
        why[0].1,
        "no runner can run model-1 now: it needs the engine vllm; the connected runners have \
         llama_cpp"
    );
    assert_eq!(rejected(&bench.ask(2, 1)).len(), 1, "from then on at once");
    bench.tell(Event::RunnerDraining { runner: runner(1) });
    bench.put(spec(2, 8));
    let why = rejected(&bench.ask(3, 2));
    assert!(
        why[0].1.contains("every runner that has it is draining"),
        "{why:?}"
    );
}

#[test]
fn requests_wait_for_a_runner_that_was_just_there_but_not_for_long() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    bench.wait(60_000);
    bench.tell(Event::RunnerDown { runner: runner(1) });
    assert_eq!(bench.ask(1, 1), []);
    assert_eq!(bench.why(1), "waiting for machine-1 to reconnect");
    assert_eq!(bench.wait(4_999), []);
    let why = rejected(&bench.wait(1));
    assert!(why[0].1.contains("no runner is connected"), "{why:?}");
}

#[test]
fn removing_a_model_answers_who_waits_for_it_and_ends_its_instances_after_their_work() {
    let mut bench = Bench::with_gpu(24);
    one_place(&mut bench);
    bench.ask(1, 1);
    let actions = bench.tell(Event::ModelRemoved { model: model(1) });
    assert_eq!(
        rejected(&actions),
        [(request(1), "the model is not registered".to_owned())]
    );
    assert_eq!(stopped(&actions), []);
    assert_eq!(stopped(&bench.finish(0, Outcome::Completed)).len(), 1);
    assert_eq!(rejected(&bench.ask(2, 1)).len(), 1);
}

#[test]
fn one_model_in_demand_does_not_starve_another_of_its_room() {
    let mut bench = Bench::with_gpu(24);
    bench.put(ModelSpec {
        parallel: 1,
        ..spec(1, 20)
    });
    bench.put(spec(2, 20));
    bench.ready(0, 1);
    // Model 1 always has something in flight and something waiting.
    bench.ask(1, 1);
    bench.ask(100, 2);
    for number in 2..60 {
        bench.ask(number, 1);
        bench.wait(1_000);
        let done = bench
            .scheduler
            .queue()
            .running
            .first()
            .map(|running| running.id);
        let Some(done) = done else { break };
        bench.tell(Event::RequestFinished {
            request: done,
            outcome: Outcome::Completed,
        });
    }
    let stopping = bench.scheduler.instances().next().unwrap();
    let next = started_instance(&bench.report(stopping.id, InstanceState::Stopped));
    assert_eq!(
        dispatched(&bench.report(next, InstanceState::Ready)),
        [(request(100), next)]
    );
}
