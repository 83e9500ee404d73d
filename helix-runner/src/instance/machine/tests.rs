#![expect(
    clippy::disallowed_methods,
    reason = "an arbitrary zero for a clock that tests move"
)]

use proptest::prelude::*;

use super::*;

const READY_TIMEOUT: Duration = Duration::from_secs(100);

struct Life {
    machine: Machine,
    now: Instant,
    actions: Vec<Action>,
}

impl Life {
    fn new() -> Self {
        let options = LifeOptions {
            probe_failures: 2,
            max_restarts: 2,
            ..LifeOptions::default()
        };
        let (machine, first) = Machine::new(options, READY_TIMEOUT, 1);
        Self {
            machine,
            now: Instant::now(),
            actions: vec![first],
        }
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        let actions = self.machine.handle(event, self.now);
        self.actions.extend(&actions);
        actions
    }

    /// Lets time pass until the machine wants to be woken.
    fn wake(&mut self) -> Vec<Action> {
        self.now = self
            .machine
            .wake_at()
            .expect("it waits for a time")
            .max(self.now);
        self.on(Event::Tick)
    }

    fn ready() -> Self {
        let mut life = Self::new();
        assert_eq!(life.on(Event::Fetched), [Action::Launch]);
        life.on(Event::Loaded);
        assert_eq!(life.machine.state(), InstanceState::Ready);
        life
    }
}

fn crash() -> Event {
    Event::Exited(fault(FailureKind::Crashed))
}

fn fault(kind: FailureKind) -> Fault {
    Fault {
        kind,
        message: "it broke".to_owned(),
        by_chance: false,
    }
}

fn progress(step: &str) -> Progress {
    Progress {
        step: step.to_owned(),
        done_bytes: None,
        total_bytes: None,
    }
}

#[test]
fn a_life_without_trouble_goes_through_each_state_once() {
    let mut life = Life::new();
    assert_eq!(life.machine.state(), InstanceState::Downloading);
    life.on(Event::Fetched);
    assert_eq!(life.machine.state(), InstanceState::Starting);
    life.on(Event::Loaded);
    assert_eq!(life.on(Event::Stop), [Action::Drain]);
    assert_eq!(life.machine.state(), InstanceState::Draining);
    assert_eq!(
        life.on(Event::Quiet),
        [Action::CancelWork, Action::Terminate]
    );
    life.on(crash());
    assert_eq!(life.machine.state(), InstanceState::Stopped);
    assert!(life.machine.fault().is_none());
}

#[test]
fn requests_that_never_end_do_not_hold_up_a_stop_for_ever() {
    let mut life = Life::ready();
    life.on(Event::Stop);
    assert_eq!(life.wake(), [Action::CancelWork, Action::Terminate]);
    assert_eq!(life.wake(), [Action::Kill]);
    life.wake();
    assert_eq!(life.machine.state(), InstanceState::Failed);
}

#[test]
fn a_start_that_takes_too_long_fails_with_its_last_step() {
    let mut life = Life::new();
    life.on(Event::Fetched);
    life.on(Event::Progress(
        Stage::Starting,
        progress("loading layer 7"),
    ));
    assert_eq!(life.wake(), [Action::CancelWork, Action::Terminate]);
    life.on(crash());
    let fault = life.machine.fault().expect("it failed");
    assert_eq!(fault.kind, FailureKind::ReadyTimeout);
    assert!(
        fault.message.contains("loading layer 7"),
        "{}",
        fault.message
    );
}

#[test]
fn a_download_after_the_start_stops_the_deadline() {
    let mut life = Life::new();
    life.on(Event::Fetched);
    life.on(Event::Progress(Stage::Downloading, progress("pulling")));
    assert_eq!(life.machine.state(), InstanceState::Downloading);
    assert_eq!(life.machine.wake_at(), None);
    life.now += READY_TIMEOUT * 2;
    life.on(Event::Progress(Stage::Starting, progress("loading")));
    assert_eq!(life.machine.wake_at(), Some(life.now + READY_TIMEOUT));
}

#[test]
fn an_engine_that_never_was_ready_is_not_started_again() {
    let mut life = Life::new();
    life.on(Event::Fetched);
    life.on(crash());
    assert_eq!(life.machine.state(), InstanceState::Failed);
    assert_eq!(life.machine.restarts(), 0);
}

#[test]
fn bad_luck_at_the_first_start_is_given_another_try() {
    let mut life = Life::new();
    life.on(Event::Fetched);
    life.on(Event::Exited(Fault {
        by_chance: true,
        ..fault(FailureKind::Crashed)
    }));
    assert_eq!(life.wake(), [Action::Launch]);
}

#[test]
fn crashes_lead_to_a_bounded_number_of_restarts() {
    let mut life = Life::ready();
    for restart in 1..=2 {
        life.on(crash());
        assert_eq!(life.machine.state(), InstanceState::Starting);
        assert_eq!(life.machine.restarts(), restart);
        assert_eq!(life.wake(), [Action::Launch]);
        life.on(Event::Loaded);
    }
    life.on(crash());
    assert_eq!(life.machine.state(), InstanceState::Failed);
}

#[test]
fn only_proven_service_forgets_earlier_crashes() {
    let mut life = Life::ready();
    for _ in 0..10 {
        life.now += LifeOptions::default().proven_after;
        life.on(crash());
        assert_eq!(life.wake(), [Action::Launch]);
        life.on(Event::Loaded);
    }
    assert_eq!(life.machine.restarts(), 10);
}

#[test]
fn memory_that_ran_out_is_not_tried_again() {
    let mut life = Life::ready();
    life.on(Event::Exited(fault(FailureKind::OutOfMemory)));
    assert_eq!(
        life.machine.fault().map(|fault| fault.kind),
        Some(FailureKind::OutOfMemory)
    );
}

#[test]
fn an_engine_that_stops_answering_is_restarted_and_one_good_answer_forgives() {
    let mut life = Life::ready();
    let bad = || Event::Unhealthy("no answer in 10 s".to_owned());
    for _ in 0..3 {
        assert_eq!(life.wake(), [Action::Probe]);
        life.on(bad());
        assert_eq!(life.wake(), [Action::Probe]);
        life.on(Event::Healthy);
    }
    life.wake();
    life.on(bad());
    life.wake();
    assert_eq!(life.on(bad()), [Action::CancelWork, Action::Terminate]);
    assert_eq!(life.machine.state(), InstanceState::Starting);
    life.on(crash());
    assert_eq!(life.wake(), [Action::Launch]);
}

#[test]
fn a_stop_is_heard_in_every_state() {
    let mut fetching = Life::new();
    assert_eq!(fetching.on(Event::Stop), [Action::CancelWork]);
    assert_eq!(fetching.machine.state(), InstanceState::Stopped);

    let mut starting = Life::new();
    starting.on(Event::Fetched);
    assert_eq!(
        starting.on(Event::Stop),
        [Action::CancelWork, Action::Terminate]
    );

    let mut waiting = Life::ready();
    waiting.on(crash());
    waiting.on(Event::Stop);
    assert_eq!(waiting.machine.state(), InstanceState::Stopped);

    let mut failed = Life::new();
    failed.on(Event::WorkFailed(fault(FailureKind::Download)));
    assert_eq!(failed.on(Event::Stop), []);
    assert_eq!(failed.machine.state(), InstanceState::Failed);
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Fetched),
        Just(Event::Progress(Stage::Downloading, progress("d"))),
        Just(Event::Progress(Stage::Starting, progress("s"))),
        Just(Event::Loaded),
        Just(Event::WorkFailed(fault(FailureKind::Download))),
        Just(Event::Healthy),
        Just(Event::Unhealthy("u".to_owned())),
        Just(crash()),
        Just(Event::Exited(fault(FailureKind::OutOfMemory))),
        Just(Event::Stop),
        Just(Event::Quiet),
        Just(Event::Tick),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_an_ended_instance_stays_ended_and_every_wait_ends(
        steps in proptest::collection::vec((any_event(), 0_u64..120_000), 1..60),
    ) {
        let mut life = Life::new();
        let mut engine_may_run = false;
        for (event, pause_ms) in steps {
            let before = life.machine.state();
            let ended = matches!(event, Event::Exited(_));
            life.now += Duration::from_millis(pause_ms);
            for action in life.on(event) {
                prop_assert!(!before.is_terminal(), "{action:?} for an ended instance");
                if action == Action::Launch {
                    prop_assert!(!engine_may_run, "a second engine beside the first");
                    engine_may_run = true;
                }
            }
            engine_may_run &= !ended;
            let after = life.machine.state();
            prop_assert!(!before.is_terminal() || before == after);
            prop_assert!(life.machine.progress().is_none() || matches!(
                after, InstanceState::Downloading | InstanceState::Starting));
            // A wait without a time is one for a download, which has its own
            // limits, or for a health check, which has its own timeout.
            if life.machine.wake_at().is_none() {
                prop_assert!(after.is_terminal() || matches!(
                    after, InstanceState::Downloading | InstanceState::Ready), "{after:?}");
            }
        }
        // Left alone, with an engine that ends when killed, it ends.
        life.on(Event::Stop);
        for _ in 0..10 {
            if life.machine.state().is_terminal() {
                break;
            }
            life.wake();
            if life.actions.last() == Some(&Action::Kill) {
                life.on(crash());
            }
        }
        prop_assert!(life.machine.state().is_terminal(), "{:?}", life.machine.state());
    }
}
