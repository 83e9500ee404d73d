//! Events that make no sense: in any order, twice, about what is not there.

use std::collections::BTreeSet;

use helix_proto::{
    InstanceId, TypedId as _,
    model::EngineKind,
    queue::Priority,
    runner::{DeviceMemory, FailureKind, InstanceState},
};
use helix_scheduler::{Action, Event, ModelSpec, Outcome, RequestSpec};
use proptest::prelude::*;

use crate::world::*;

/// Few ids, so that events meet.
fn event() -> impl Strategy<Value = (u8, u64, u64, u64)> {
    (0_u8..20, 0_u64..3, 0_u64..6, 0_u64..30_000)
}

const STATES: [InstanceState; 6] = [
    InstanceState::Downloading,
    InstanceState::Starting,
    InstanceState::Ready,
    InstanceState::Draining,
    InstanceState::Stopped,
    InstanceState::Failed,
];

fn instance_id(bench: &Bench, number: u64) -> InstanceId {
    let known = bench
        .scheduler
        .instances()
        .nth(number as usize)
        .map(|instance| instance.id);
    known.unwrap_or_else(|| InstanceId::from_parts(9, number.into()))
}

fn reported(bench: &Bench, of: u64, number: u64) -> Event {
    let id = instance_id(bench, number);
    let of = bench
        .scheduler
        .instance(id)
        .map_or(model(of), |view| view.model);
    let bytes = (number + 1) * 3 * GIB;
    let memory = vec![DeviceMemory {
        device: format!("gpu-{}", number % 3),
        bytes,
    }];
    let mut status = status(id, of, STATES[number as usize % 6], memory.clone());
    if number > 3 {
        status.peak = memory;
        status.failure = Some(failure(FailureKind::OutOfMemory, "out of memory"));
    }
    Event::InstanceReported {
        runner: runner(number % 3),
        status: Box::new(status),
    }
}

fn make(bench: &Bench, (kind, a, b, _): (u8, u64, u64, u64)) -> Event {
    let runner = runner(a);
    let devices = vec![gpu("gpu-0", 24, b * 4), gpu("gpu-1", 16, 16)];
    match kind {
        0 => {
            let mut info = info(a, devices, &[EngineKind::LlamaCpp]);
            info.boot_id = (b / 2).to_string();
            Event::RunnerUp {
                runner,
                info: Box::new(info),
                draining: b == 5,
            }
        }
        1 => Event::RunnerDown { runner },
        2 => Event::RunnerRemoved { runner },
        3 => Event::RunnerDraining { runner },
        4 => Event::RunnerResumed { runner },
        5 => Event::DevicesMeasured { runner, devices },
        6..=8 => reported(bench, a, b),
        9 => Event::InstanceGone {
            instance: instance_id(bench, b),
        },
        10 => Event::StopInstance {
            instance: instance_id(bench, b),
        },
        11 => {
            let spec = ModelSpec {
                devices: 1 + (b % 2) as u32,
                parallel: b as u32,
                ..spec(a, b * 4)
            };
            Event::ModelPut(Box::new(spec))
        }
        12 => Event::ModelRemoved { model: model(a) },
        13 => Event::Prewarm { model: model(a) },
        14 => Event::RequestQueued(RequestSpec {
            priority: if b > 3 { Priority::Low } else { Priority::High },
            deadline_at_ms: bench.now_ms + b * 5_000,
            ..ask(b, a)
        }),
        15 => Event::RequestCancelled {
            request: request(b),
        },
        16 => Event::RequestFinished {
            request: request(b),
            outcome: [
                Outcome::Completed,
                Outcome::Failed,
                Outcome::LostBeforeResponse,
            ][a as usize],
        },
        17 => Event::RunnerAway { runner },
        18 => Event::RunnerBack { runner },
        _ => {
            let failure = failure(FailureKind::Crashed, "no");
            Event::StartRefused {
                instance: instance_id(bench, b),
                failure,
            }
        }
    }
}

proptest! {
    #[test]
    fn no_order_of_events_breaks_the_books(events in proptest::collection::vec(event(), 1..120)) {
        let mut bench = Bench::new(options());
        for number in 0..3 {
            bench.put(spec(number, 6 + number));
        }
        let mut waiting = BTreeSet::new();
        for step in events {
            bench.now_ms += step.3;
            let event = make(&bench, step);
            let queued = match &event {
                Event::RequestQueued(spec) => Some(spec.id),
                Event::RequestFinished { request, outcome: Outcome::LostBeforeResponse } => {
                    Some(*request)
                }
                _ => None,
            };
            let was_waiting = waiting.clone();
            waiting.extend(queued);
            for action in bench.tell(event) {
                match action {
                    Action::Dispatch { request, instance, .. } => {
                        prop_assert!(waiting.remove(&request));
                        prop_assert!(bench.scheduler.instance(instance).is_some());
                    }
                    Action::Reject { request, .. } => prop_assert!(waiting.remove(&request)),
                    _ => {}
                }
            }
            let really: BTreeSet<_> = bench.scheduler.waiting_ids().collect();
            // What was queued again while it was known is no second request.
            prop_assert!(really.is_subset(&waiting));
            prop_assert!(was_waiting.intersection(&waiting).all(|id| really.contains(id)));
            waiting = really;
            let queue = bench.scheduler.queue();
            prop_assert_eq!(queue.waiting.len(), bench.scheduler.waiting());
            let in_flight: u32 = bench.scheduler.instances().map(|i| i.in_flight).sum();
            prop_assert!(in_flight as usize <= bench.scheduler.running());
        }
    }
}
