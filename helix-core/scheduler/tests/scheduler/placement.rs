//! Rules of placement: where instances go, and what makes way.

use crate::world::*;
use helix_proto::{
    model::EngineKind,
    queue::Priority,
    runner::{DeviceMemory, InstanceState},
};
use helix_scheduler::{Action, Event, ModelSpec, Outcome, RequestSpec};

#[test]
fn the_first_request_starts_an_instance_and_gets_its_first_place() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let actions = bench.ask(1, 1);
    let id = started_instance(&actions);
    let Action::StartInstance { devices, .. } = &actions[0] else {
        panic!()
    };
    assert_eq!(
        *devices,
        [DeviceMemory {
            device: "gpu-0".to_owned(),
            bytes: 8 * GIB
        }]
    );
    assert_eq!(bench.why(1), "model-1 is starting on machine-1");
    assert_eq!(
        dispatched(&bench.report(id, InstanceState::Ready)),
        [(request(1), id)]
    );
    assert_eq!(bench.why(1), "");
    // The next finds the place that is left, the one after waits.
    assert_eq!(dispatched(&bench.ask(2, 1)), [(request(2), id)]);
    assert_eq!(bench.ask(3, 1), []);
    assert_eq!(
        bench.why(3),
        "all 2 places on 1 instance of model-1 are taken; 0 requests go first"
    );
    assert_eq!(
        dispatched(&bench.finish(1, Outcome::Completed)),
        [(request(3), id)]
    );
}

#[test]
fn several_models_share_a_device_as_far_as_memory_goes() {
    let mut bench = Bench::with_gpu(24);
    for number in 1..=4 {
        bench.put(spec(number, 7));
        bench.ask(number, number);
    }
    assert_eq!(bench.scheduler.instances().count(), 3);
    assert_eq!(bench.scheduler.reserved_bytes(runner(1), "gpu-0"), 21 * GIB);
    assert!(
        bench
            .why(4)
            .starts_with("no room for model-4: it needs 7.0 GiB"),
        "{}",
        bench.why(4)
    );
}

#[test]
fn requests_wait_for_a_starting_instance_as_far_as_it_has_places() {
    let mut bench = Bench::with_gpu(80);
    bench.connect(2, vec![gpu("gpu-0", 80, 80)]);
    bench.put(spec(1, 8));
    let first = started_instance(&bench.ask(1, 1));
    assert_eq!(bench.ask(2, 1), []);
    // Two places are spoken for: the third request justifies another instance,
    // and it goes to the other runner.
    let second = started_instance(&bench.ask(3, 1));
    let on = |id| bench.scheduler.instance(id).unwrap().runner;
    assert_ne!(on(first), on(second));
}

#[test]
fn two_runners_share_the_work_of_a_model() {
    let mut bench = Bench::with_gpu(24);
    bench.connect(2, vec![gpu("gpu-0", 24, 24)]);
    bench.put(spec(1, 20));
    let first = bench.ready(1, 1);
    bench.ask(2, 1);
    assert_eq!(bench.ask(3, 1), [], "a short burst starts nothing");
    let second = started_instance(&bench.wait(600));
    bench.report(second, InstanceState::Ready);
    for number in 4..=4 {
        assert_eq!(
            dispatched(&bench.ask(number, 1)),
            [(request(number), second)]
        );
    }
    for number in 1..=4 {
        bench.finish(number, Outcome::Completed);
    }
    // Even load from then on.
    let to: Vec<_> = (5..=8)
        .flat_map(|number| dispatched(&bench.ask(number, 1)))
        .collect();
    assert_eq!(
        to.iter().filter(|(_, instance)| *instance == first).count(),
        2
    );
}

#[test]
fn no_more_instances_than_allowed_and_one_of_a_model_on_a_device() {
    let mut bench = Bench::new(options());
    bench.connect(
        1,
        vec![
            gpu("gpu-0", 80, 80),
            gpu("gpu-1", 80, 80),
            gpu("gpu-2", 80, 80),
        ],
    );
    bench.put(ModelSpec {
        max_instances: 2,
        ..spec(1, 1)
    });
    for number in 1..=20 {
        bench.ask(number, 1);
    }
    let mut devices: Vec<_> = bench
        .scheduler
        .instances()
        .map(|i| i.reserved[0].device.clone())
        .collect();
    devices.sort();
    assert_eq!(devices.len(), 2);
    assert_ne!(devices[0], devices[1]);
}

#[test]
fn an_instance_over_several_devices_sets_the_same_aside_on_each() {
    let mut bench = Bench::new(options());
    bench.connect(
        1,
        vec![
            gpu("gpu-0", 24, 24),
            gpu("gpu-1", 24, 4),
            gpu("gpu-2", 24, 24),
        ],
    );
    bench.put(ModelSpec {
        devices: 2,
        ..spec(1, 20)
    });
    let actions = bench.ask(1, 1);
    let Action::StartInstance { devices, .. } = &actions[0] else {
        panic!()
    };
    let devices: Vec<_> = devices
        .iter()
        .map(|d| (d.device.as_str(), d.bytes))
        .collect();
    assert_eq!(devices, [("gpu-0", 20 * GIB), ("gpu-2", 20 * GIB)]);
}

#[test]
fn devices_of_different_kinds_are_not_joined() {
    let mut bench = Bench::new(options());
    let mut other = gpu("gpu-1", 24, 24);
    other.name = "Other GPU".to_owned();
    bench.connect(1, vec![gpu("gpu-0", 24, 24), other]);
    bench.put(ModelSpec {
        devices: 2,
        ..spec(1, 20)
    });
    bench.wait(6_000);
    let why = rejected(&bench.ask(1, 1));
    assert!(why[0].1.contains("spread over 2 devices"), "{why:?}");
}

#[test]
fn the_idle_instance_used_longest_ago_makes_way() {
    let mut bench = Bench::with_gpu(24);
    let mut ids = Vec::new();
    for number in 1..=3 {
        bench.put(spec(number, 8));
        ids.push(bench.ready(number, number));
        bench.wait(10);
        bench.finish(number, Outcome::Completed);
    }
    bench.ask(10, 1);
    bench.finish(10, Outcome::Completed);
    bench.put(spec(4, 8));
    let actions = bench.ask(4, 4);
    // Model 1 was used last, so model 2 goes.
    assert_eq!(stopped(&actions), [ids[1]]);
    assert_eq!(
        bench.why(4),
        "making room for model-4 on machine-1: waiting for model-2 to finish"
    );
    let started = bench.report(ids[1], InstanceState::Stopped);
    started_instance(&started);
}

#[test]
fn no_more_makes_way_than_has_to() {
    let mut bench = Bench::with_gpu(24);
    for (number, need) in [(1, 2), (2, 16), (3, 6)] {
        bench.put(spec(number, need));
        bench.ready(number, number);
        bench.wait(10);
        bench.finish(number, Outcome::Completed);
    }
    bench.put(spec(4, 16));
    let stopped = stopped(&bench.ask(4, 4));
    assert_eq!(stopped.len(), 1, "the small one, though older, may stay");
}

#[test]
fn an_instance_at_work_is_asked_to_make_way_only_after_patience_and_finishes_first() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 20));
    bench.put(spec(2, 20));
    let busy = bench.ready(1, 1);
    assert_eq!(bench.ask(2, 2), []);
    assert!(
        bench.why(2).starts_with("no room for model-2"),
        "{}",
        bench.why(2)
    );
    assert_eq!(bench.wait(6_000), [], "it became ready only just");
    assert_eq!(bench.wait(10_000), []);
    assert!(
        bench.why(2).starts_with("making room for model-2"),
        "{}",
        bench.why(2)
    );
    // What is in flight goes on, but nothing new is added, though there is a place.
    assert_eq!(bench.ask(3, 1), []);
    assert_eq!(stopped(&bench.finish(1, Outcome::Completed)), [busy]);
    let next = started_instance(&bench.report(busy, InstanceState::Stopped));
    let to = dispatched(&bench.report(next, InstanceState::Ready));
    assert_eq!(to, [(request(2), next)]);
}

#[test]
fn who_makes_way_goes_on_if_the_request_is_taken_back() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 20));
    bench.put(spec(2, 20));
    let busy = bench.ready(1, 1);
    bench.ask(2, 2);
    bench.wait(20_000);
    bench.ask(3, 1);
    let actions = bench.tell(Event::RequestCancelled {
        request: request(2),
    });
    assert_eq!(dispatched(&actions), [(request(3), busy)]);
    assert_eq!(stopped(&actions), []);
}

#[test]
fn an_instance_just_ready_with_requests_waiting_is_not_evicted() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 20));
    bench.put(spec(2, 20));
    let first = started_instance(&bench.ask(1, 1));
    // An older request of another model waits for the same room.
    bench.tell(Event::RequestQueued(RequestSpec {
        priority: Priority::High,
        ..ask(2, 2)
    }));
    let actions = bench.report(first, InstanceState::Ready);
    assert_eq!(dispatched(&actions), [(request(1), first)]);
    assert_eq!(stopped(&actions), []);
}

#[test]
fn a_further_instance_takes_no_room_from_models_used_of_late() {
    let mut bench = Bench::new(options());
    bench.connect(1, vec![gpu("gpu-0", 24, 24), gpu("gpu-1", 24, 24)]);
    bench.put(spec(1, 20));
    bench.put(spec(2, 20));
    let other = bench.ready(1, 2);
    bench.finish(1, Outcome::Completed);
    bench.ready(2, 1);
    bench.ask(3, 1);
    bench.ask(4, 1);
    assert_eq!(bench.wait(5_000), []);
    assert_eq!(stopped(&bench.wait(10_000)), [other]);
}

#[test]
fn other_programs_memory_is_not_given_away() {
    let mut bench = Bench::new(options());
    bench.connect(1, vec![gpu("gpu-0", 24, 10)]);
    bench.put(spec(1, 12));
    assert_eq!(bench.ask(1, 1), []);
    assert_eq!(
        bench.why(1),
        "no room for model-1: it needs 12.0 GiB and the most that is free is 10.0 GiB; other \
         programs use 14.0 GiB"
    );
    let devices = vec![gpu("gpu-0", 24, 13)];
    started_instance(&bench.tell(Event::DevicesMeasured {
        runner: runner(1),
        devices,
    }));
}

#[test]
fn our_own_instances_use_is_not_taken_for_other_programs_while_they_load_and_after() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 10));
    bench.put(spec(2, 10));
    let first = started_instance(&bench.ask(1, 1));
    for (free, state) in [
        (24, InstanceState::Starting),
        (20, InstanceState::Starting),
        (14, InstanceState::Ready),
    ] {
        bench.report(first, state);
        let devices = vec![gpu("gpu-0", 24, free)];
        bench.tell(Event::DevicesMeasured {
            runner: runner(1),
            devices,
        });
        assert_eq!(
            bench.scheduler.foreign_bytes_on(runner(1), "gpu-0"),
            Some(0),
            "{free}"
        );
    }
    started_instance(&bench.ask(2, 2));
    assert_eq!(bench.scheduler.reserved_bytes(runner(1), "gpu-0"), 20 * GIB);
}

#[test]
fn a_model_of_unknown_need_gets_a_device_of_its_own_until_it_is_measured() {
    let mut bench = Bench::with_gpu(24);
    bench.put(ModelSpec {
        need: None,
        ..spec(1, 0)
    });
    bench.put(spec(2, 8));
    let first = bench.ready(1, 1);
    assert_eq!(bench.scheduler.reserved_bytes(runner(1), "gpu-0"), 24 * GIB);
    bench.ask(2, 1);
    bench.finish(1, Outcome::Completed);
    assert_eq!(bench.ask(3, 2), [], "there is no room beside it");
    let actions = bench.report_with(first, |status| {
        status.peak = vec![DeviceMemory {
            device: "gpu-0".to_owned(),
            bytes: 10 * GIB,
        }];
    });
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::RecordNeed { .. }))
    );
    started_instance(&actions);
}

#[test]
fn an_external_server_needs_no_device_and_is_one_instance_on_a_runner() {
    let mut bench = Bench::new(options());
    let none = Box::new(info(1, Vec::new(), &[EngineKind::External]));
    bench.tell(Event::RunnerUp {
        runner: runner(1),
        info: none,
        draining: false,
    });
    bench.put(ModelSpec {
        engine: EngineKind::External,
        need: None,
        ..spec(1, 0)
    });
    let actions = bench.ask(1, 1);
    assert!(matches!(&actions[0], Action::StartInstance { devices, .. } if devices.is_empty()));
    for number in 2..10 {
        assert_eq!(bench.ask(number, 1), []);
    }
}

#[test]
fn a_prewarmed_model_is_started_without_a_request_but_stops_nothing_at_work() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 20));
    bench.put(spec(2, 20));
    let id = started_instance(&bench.tell(Event::Prewarm { model: model(1) }));
    bench.report(id, InstanceState::Ready);
    assert_eq!(dispatched(&bench.ask(1, 1)).len(), 1);
    assert_eq!(bench.tell(Event::Prewarm { model: model(2) }), []);
    assert_eq!(bench.wait(60_000), []);
    assert_eq!(stopped(&bench.finish(1, Outcome::Completed)), [id]);
}
