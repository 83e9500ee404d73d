//! Rules of instances and runners: failures, learning, adoption, draining.

use helix_proto::{
    InstanceId, TypedId as _,
    runner::{DeviceMemory, FailureKind, InstanceState, RunnerInfo},
};
use helix_scheduler::{
    Action, DeviceClass, Event, LearnedFrom, LearnedNeed, ModelSpec, Outcome, Stage, StopReason,
};

use crate::world::*;

fn recorded(actions: &[Action]) -> Vec<LearnedNeed> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::RecordNeed { need, .. } => Some(*need),
            _ => None,
        })
        .collect()
}

fn on_gpu(bytes: u64) -> Vec<DeviceMemory> {
    vec![DeviceMemory {
        device: "gpu-0".to_owned(),
        bytes,
    }]
}

fn what_runs(instances: &[(InstanceId, InstanceState)]) -> RunnerInfo {
    let mut info = info(
        1,
        vec![gpu("gpu-0", 24, 24)],
        &[helix_proto::model::EngineKind::LlamaCpp],
    );
    info.instances = instances
        .iter()
        .map(|(id, state)| status(*id, model(1), *state, on_gpu(8 * GIB)))
        .collect();
    info
}

fn up(bench: &mut Bench, info: RunnerInfo) -> Vec<Action> {
    bench.tell(Event::RunnerUp {
        runner: runner(1),
        info: Box::new(info),
        draining: false,
    })
}

#[test]
fn failed_starts_are_tried_again_after_growing_pauses_and_then_requests_are_told_why() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let mut id = started_instance(&bench.ask(1, 1));
    for pause in [1_000, 2_000] {
        assert_eq!(
            bench.fail(id, FailureKind::Crashed, "segmentation fault"),
            []
        );
        let why = bench.why(1);
        assert!(
            why.starts_with("model-1 could not be started (segmentation fault)"),
            "{why}"
        );
        assert_eq!(bench.wait(pause - 1), []);
        id = started_instance(&bench.wait(1));
    }
    let why = rejected(&bench.fail(id, FailureKind::Crashed, "segmentation fault"));
    assert_eq!(
        why,
        [(
            request(1),
            "model-1 could not be started (3 attempts): segmentation fault".to_owned()
        )]
    );
    // A new request is told so during the pause, and tries once more after it.
    assert_eq!(rejected(&bench.ask(2, 1)).len(), 1);
    bench.wait(4_000);
    let id = started_instance(&bench.ask(3, 1));
    assert_eq!(
        rejected(&bench.fail(id, FailureKind::Crashed, "again")).len(),
        1
    );
}

#[test]
fn a_failure_that_will_stay_is_not_tried_again_for_the_same_request() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let id = started_instance(&bench.ask(1, 1));
    let why = rejected(&bench.fail(id, FailureKind::ModelMissing, "/models/x.gguf is not there"));
    assert!(why[0].1.ends_with("/models/x.gguf is not there"), "{why:?}");
}

#[test]
fn another_runner_is_tried_before_anyone_is_told_of_a_failure() {
    let mut bench = Bench::with_gpu(24);
    bench.connect(2, vec![gpu("gpu-0", 24, 24)]);
    bench.put(spec(1, 8));
    let first = started_instance(&bench.ask(1, 1));
    let on = bench.scheduler.instance(first).unwrap().runner;
    let second = started_instance(&bench.fail(first, FailureKind::EngineMissing, "not installed"));
    assert_ne!(bench.scheduler.instance(second).unwrap().runner, on);
    assert_eq!(
        dispatched(&bench.report(second, InstanceState::Ready)).len(),
        1
    );
}

#[test]
fn only_an_answer_ends_a_row_of_failures() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let mut id = started_instance(&bench.ask(1, 1));
    for _ in 0..2 {
        bench.report(id, InstanceState::Ready);
        bench.fail(id, FailureKind::Crashed, "crashed at the first request");
        bench.finish(1, Outcome::Failed);
        bench.ask(1, 1);
        id = started_instance(&bench.wait(10_000));
    }
    bench.report(id, InstanceState::Ready);
    bench.fail(id, FailureKind::Crashed, "crashed at the first request");
    bench.finish(1, Outcome::Failed);
    assert_eq!(
        rejected(&bench.ask(2, 1)).len(),
        1,
        "becoming ready proves nothing"
    );
    bench.wait(10_000);
    let id = started_instance(&bench.ask(3, 1));
    bench.report(id, InstanceState::Ready);
    bench.finish(3, Outcome::Completed);
    bench.fail(id, FailureKind::Crashed, "once");
    bench.ask(4, 1);
    started_instance(&bench.wait(1_000));
}

#[test]
fn running_out_of_memory_raises_the_need_up_to_what_a_device_has() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 16));
    let id = started_instance(&bench.ask(1, 1));
    let learned = recorded(&bench.fail(id, FailureKind::OutOfMemory, "out of memory"));
    assert_eq!(
        learned,
        [LearnedNeed {
            bytes: 20 * GIB,
            source: LearnedFrom::OutOfMemory
        }]
    );
    let id = started_instance(&bench.wait(1_000));
    assert_eq!(bench.scheduler.reserved_bytes(runner(1), "gpu-0"), 20 * GIB);
    let learned = recorded(&bench.fail(id, FailureKind::OutOfMemory, "out of memory"));
    assert_eq!(learned[0].bytes, 24 * GIB, "no more than there is");
    let id = started_instance(&bench.wait(2_000));
    let actions = bench.fail(id, FailureKind::OutOfMemory, "out of memory");
    assert_eq!((recorded(&actions).len(), rejected(&actions).len()), (0, 1));
}

#[test]
fn a_measured_peak_replaces_the_estimate_once_a_request_was_answered() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 16));
    let id = bench.ready(1, 1);
    let low = |status: &mut helix_proto::runner::InstanceStatus| status.peak = on_gpu(2 * GIB);
    assert_eq!(
        recorded(&bench.report_with(id, low)),
        [],
        "it may not use all yet"
    );
    bench.finish(1, Outcome::Completed);
    let learned = recorded(&bench.report_with(id, low));
    assert_eq!(learned[0].source, LearnedFrom::Peak);
    let margin = learned[0].bytes - 2 * GIB;
    assert!(margin > 0 && margin < GIB / 4, "{margin}");
    // A lower one later changes nothing, a higher one does, and what it uses
    // is set aside at once.
    assert_eq!(
        recorded(&bench.report_with(id, |s| s.peak = on_gpu(GIB))),
        []
    );
    let learned = recorded(&bench.report_with(id, |s| s.peak = on_gpu(17 * GIB)));
    assert!(learned[0].bytes > 17 * GIB);
    assert_eq!(bench.scheduler.reserved_bytes(runner(1), "gpu-0"), 17 * GIB);
    assert_eq!(
        bench.scheduler.need(model(1)).unwrap().bytes_per_device,
        learned[0].bytes
    );
}

#[test]
fn an_engine_that_uses_all_it_was_given_does_not_grow_at_each_start() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 10));
    let id = bench.ready(1, 1);
    bench.finish(1, Outcome::Completed);
    let learned = recorded(&bench.report_with(id, |status| status.peak = on_gpu(10 * GIB)));
    assert_eq!(learned[0].bytes, 10 * GIB);
}

#[test]
fn what_was_learned_counts_until_the_settings_it_depends_on_change() {
    let mut bench = Bench::with_gpu(24);
    let learned = LearnedNeed {
        bytes: 5 * GIB,
        source: LearnedFrom::Peak,
    };
    let with = |key: &str, learned: &[LearnedNeed]| ModelSpec {
        memory_key: key.to_owned(),
        learned: learned
            .iter()
            .map(|l| (DeviceClass("Test GPU".to_owned()), *l))
            .collect(),
        ..spec(1, 16)
    };
    bench.put(with("a", &[learned]));
    bench.put(with("a", &[]));
    assert_eq!(
        bench.scheduler.need(model(1)).unwrap().bytes_per_device,
        5 * GIB
    );
    let id = bench.ready(1, 1);
    bench.put(with("b", &[]));
    assert_eq!(
        bench.scheduler.need(model(1)).unwrap().bytes_per_device,
        16 * GIB
    );
    // The instance ends after its work; what it still says is about the past.
    assert_eq!(
        recorded(&bench.report_with(id, |status| status.peak = on_gpu(20 * GIB))),
        []
    );
    assert_eq!(stopped(&bench.finish(1, Outcome::Completed)), [id]);
}

#[test]
fn after_a_restart_of_the_control_plane_running_instances_are_taken_over() {
    let mut bench = Bench::new(options());
    bench.put(spec(1, 8));
    bench.ask(1, 1);
    let (ready, loading) = (InstanceId::from_parts(5, 1), InstanceId::from_parts(5, 2));
    let info = what_runs(&[
        (ready, InstanceState::Ready),
        (loading, InstanceState::Starting),
    ]);
    assert_eq!(dispatched(&up(&mut bench, info)), [(request(1), ready)]);
    assert_eq!(bench.scheduler.reserved_bytes(runner(1), "gpu-0"), 16 * GIB);
    let stages: Vec<_> = bench.scheduler.instances().map(|i| i.stage).collect();
    assert_eq!(stages, [Stage::Ready, Stage::Starting]);
}

#[test]
fn an_instance_of_an_unknown_model_is_stopped() {
    let mut bench = Bench::new(options());
    let id = InstanceId::from_parts(5, 1);
    let actions = up(&mut bench, what_runs(&[(id, InstanceState::Ready)]));
    assert_eq!(stopped(&actions), [id]);
}

#[test]
fn a_short_cut_of_the_tunnel_starts_nothing_new_and_keeps_the_instance() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let id = bench.ready(1, 1);
    bench.tell(Event::RunnerDown { runner: runner(1) });
    assert_eq!(bench.finish(1, Outcome::LostBeforeResponse), []);
    assert_eq!(bench.why(1), "waiting for machine-1 to reconnect");
    bench.wait(3_000);
    let actions = up(&mut bench, what_runs(&[(id, InstanceState::Ready)]));
    assert_eq!(dispatched(&actions), [(request(1), id)]);
}

#[test]
fn an_instance_that_the_runner_no_longer_lists_is_gone() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let id = bench.ready(1, 1);
    let actions = up(&mut bench, what_runs(&[]));
    assert!(bench.scheduler.instance(id).is_none());
    assert_eq!(actions, []);
    started_instance(&bench.finish(1, Outcome::LostBeforeResponse));
}

#[test]
fn a_runner_that_dies_whenever_it_starts_the_model_is_not_asked_for_ever() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    started_instance(&bench.ask(1, 1));
    for boot in 2..=4 {
        bench.tell(Event::RunnerDown { runner: runner(1) });
        let info = RunnerInfo {
            boot_id: format!("boot {boot}"),
            ..what_runs(&[])
        };
        let actions = up(&mut bench, info);
        if boot == 4 {
            assert!(
                rejected(&actions)[0]
                    .1
                    .contains("restarted while it started the model")
            );
        } else {
            started_instance(&bench.wait(2_000));
        }
    }
}

#[test]
fn a_draining_runner_gets_nothing_new_and_is_empty_when_its_work_is_done() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    bench.wait(5_000);
    let id = bench.ready(1, 1);
    assert_eq!(bench.tell(Event::RunnerDraining { runner: runner(1) }), []);
    assert_eq!(rejected(&bench.ask(2, 1)).len(), 1);
    assert_eq!(stopped(&bench.finish(1, Outcome::Completed)), [id]);
    bench.report(id, InstanceState::Stopped);
    bench.tell(Event::RunnerResumed { runner: runner(1) });
    started_instance(&bench.ask(3, 1));
}

#[test]
fn a_runner_that_is_resumed_in_time_keeps_what_is_still_at_work() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let id = bench.ready(1, 1);
    bench.tell(Event::RunnerDraining { runner: runner(1) });
    assert_eq!(bench.ask(2, 1), []);
    let actions = bench.tell(Event::RunnerResumed { runner: runner(1) });
    assert_eq!(dispatched(&actions), [(request(2), id)]);
}

#[test]
fn an_instance_with_nothing_to_do_is_stopped_after_its_models_idle_timeout() {
    let mut bench = Bench::with_gpu(24);
    bench.put(ModelSpec {
        idle_timeout_ms: Some(60_000),
        ..spec(1, 8)
    });
    let id = bench.ready(1, 1);
    assert_eq!(bench.wait(100_000), [], "it is at work");
    bench.finish(1, Outcome::Completed);
    assert_eq!(bench.wait(59_999), []);
    let actions = bench.wait(1);
    assert!(
        matches!(&actions[..], [Action::StopInstance { instance, why: StopReason::Idle, .. }] if *instance == id)
    );
}

#[test]
fn what_the_runner_does_not_confirm_is_told_again_or_given_up() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let first = started_instance(&bench.ask(1, 1));
    let actions = bench.wait(30_000);
    assert_eq!(stopped(&actions), [first]);
    assert_eq!(
        stopped(&bench.wait(30_000)),
        [first],
        "until the runner says something"
    );
    bench.tell(Event::InstanceGone { instance: first });
    assert!(bench.scheduler.instance(first).is_none());
}

#[test]
fn an_instance_that_was_given_up_and_shows_up_after_all_is_stopped() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let id = InstanceId::from_parts(5, 1);
    let late = Box::new(status(
        id,
        model(1),
        InstanceState::Starting,
        on_gpu(8 * GIB),
    ));
    let actions = bench.tell(Event::InstanceReported {
        runner: runner(1),
        status: late,
    });
    assert_eq!(stopped(&actions), [id]);
    assert_eq!(
        bench.scheduler.reserved_bytes(runner(1), "gpu-0"),
        8 * GIB,
        "it counts till then"
    );
}

#[test]
fn an_instance_that_an_administrator_stops_is_stopped_whatever_it_does() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let id = bench.ready(1, 1);
    let actions = bench.tell(Event::StopInstance { instance: id });
    assert_eq!(stopped(&actions), [id]);
    bench.ask(2, 1);
    assert_eq!(
        bench.scheduler.instances().count(),
        2,
        "whoever asks next gets a new one"
    );
}

#[test]
fn a_refused_start_counts_as_a_failure() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    let id = started_instance(&bench.ask(1, 1));
    let failure = failure(FailureKind::Unsupported, "llama.cpp cannot run this");
    let why = rejected(&bench.tell(Event::StartRefused {
        instance: id,
        failure,
    }));
    assert!(why[0].1.ends_with("llama.cpp cannot run this"), "{why:?}");
}

#[test]
fn decisions_are_kept_with_their_reasons() {
    let mut bench = Bench::with_gpu(24);
    bench.put(spec(1, 8));
    bench.ready(1, 1);
    let reasons: Vec<_> = bench
        .scheduler
        .decisions()
        .map(|(_, decision)| decision.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "model-1 on machine-1: 1 waiting; there is room",
            "least loaded, 1 in flight now; waited 0 ms"
        ]
    );
}
