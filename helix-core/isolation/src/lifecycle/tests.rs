use helix_proto::sandbox::{SandboxEndKind, SandboxState};
use proptest::prelude::*;

use super::*;

const NEVER: Timeouts = Timeouts {
    idle_ms: None,
    expires_at_ms: None,
};

fn new(timeouts: Timeouts) -> Machine {
    let life = Life::new(0);
    let (machine, actions) = Machine::new(Deadlines::default(), timeouts, life, At::Nothing, 0);
    assert_eq!(actions, [Action::Begin(Work::Create)]);
    machine
}

fn running(timeouts: Timeouts) -> Machine {
    let mut machine = new(timeouts);
    assert_eq!(done(&mut machine), [Action::Begin(Work::Start)]);
    assert_eq!(done(&mut machine), []);
    assert_eq!(machine.state(), SandboxState::Running);
    machine
}

fn found(life: Life, at: At, now: u64) -> (Machine, Vec<Action>) {
    Machine::new(Deadlines::default(), NEVER, life, at, now)
}

fn done(machine: &mut Machine) -> Vec<Action> {
    machine.handle(Event::Done(Ok(())), 0)
}

fn broken(message: &str) -> SandboxEnd {
    SandboxEnd {
        kind: SandboxEndKind::Internal,
        message: message.to_owned(),
    }
}

fn kind(machine: &Machine) -> Option<SandboxEndKind> {
    machine.end().map(|end| end.kind)
}

#[test]
fn a_sandbox_is_made_used_paused_stopped_and_deleted() {
    let mut machine = new(NEVER);
    assert_eq!(machine.phase(), Some(SandboxPhase::Filesystem));
    done(&mut machine);
    assert_eq!(machine.state(), SandboxState::Creating);
    machine.handle(Event::Phase(SandboxPhase::Guest), 5);
    assert_eq!(machine.phase(), Some(SandboxPhase::Guest));
    done(&mut machine);
    assert_eq!(
        (machine.state(), machine.phase()),
        (SandboxState::Running, None)
    );
    for (goal, work, state) in [
        (Goal::Paused, Work::Pause, SandboxState::Paused),
        (Goal::Running, Work::Resume, SandboxState::Running),
        (Goal::Stopped, Work::Stop, SandboxState::Stopped),
        (Goal::Running, Work::Start, SandboxState::Running),
        (Goal::Deleted, Work::Remove, SandboxState::Deleted),
    ] {
        let actions = machine.handle(Event::Wanted(goal), 10);
        assert_eq!(actions, [Action::Begin(work)]);
        assert_eq!(machine.handle(Event::Wanted(goal), 10), [], "idempotent");
        done(&mut machine);
        assert_eq!(machine.state(), state);
    }
    assert_eq!(machine.at(), At::Gone);
}

#[test]
fn a_phase_that_takes_too_long_fails_by_name_and_a_start_tries_again() {
    let mut machine = new(NEVER);
    done(&mut machine);
    machine.handle(Event::Phase(SandboxPhase::Docker), 1_000);
    let late = machine.wake_at().unwrap();
    assert_eq!(late, 61_000);
    assert_eq!(machine.handle(Event::Tick, late - 1), []);
    assert_eq!(machine.handle(Event::Tick, late), [Action::Abandon]);
    assert_eq!(machine.state(), SandboxState::Failed);
    let end = machine.end().unwrap();
    assert_eq!(end.kind, SandboxEndKind::Timeout);
    assert_eq!(end.message, "its Docker daemon did not answer within 60 s");
    let again = machine.handle(Event::Wanted(Goal::Running), late);
    assert_eq!(again, [Action::Begin(Work::Start)]);
    assert_eq!(machine.end(), None);
}

#[test]
fn deleting_what_is_being_made_abandons_the_making() {
    let mut machine = new(NEVER);
    let actions = machine.handle(Event::Wanted(Goal::Deleted), 1);
    assert_eq!(actions, [Action::Abandon, Action::Begin(Work::Remove)]);
    machine.handle(Event::Wanted(Goal::Running), 2);
    assert_eq!(
        machine.state(),
        SandboxState::Deleted,
        "there is no way back"
    );
}

#[test]
fn idle_time_counts_from_the_last_use_and_goes_on_while_paused() {
    let timeouts = Timeouts {
        idle_ms: Some(60_000),
        ..NEVER
    };
    let mut machine = running(timeouts);
    machine.handle(Event::Used(30_000), 30_000);
    assert_eq!(machine.wake_at(), Some(90_000));
    machine.handle(Event::Wanted(Goal::Paused), 40_000);
    done(&mut machine);
    assert_eq!(machine.handle(Event::Tick, 99_999), []);
    let actions = machine.handle(Event::Tick, 100_000);
    assert_eq!(actions, [Action::Begin(Work::Stop)]);
    done(&mut machine);
    assert_eq!(machine.state(), SandboxState::Stopped);
    assert_eq!(kind(&machine), Some(SandboxEndKind::Idle));
}

#[test]
fn what_has_expired_is_stopped_and_cannot_be_started() {
    let timeouts = Timeouts {
        expires_at_ms: Some(5_000),
        ..NEVER
    };
    let mut machine = running(timeouts);
    let actions = machine.handle(Event::Tick, 5_000);
    assert_eq!(actions, [Action::Begin(Work::Stop)]);
    done(&mut machine);
    assert_eq!(kind(&machine), Some(SandboxEndKind::Expired));
    assert!(machine.check(Goal::Running, 5_000).is_err());
    assert!(machine.check(Goal::Deleted, 5_000).is_ok());
}

#[test]
fn a_first_process_that_ends_fails_the_sandbox_and_is_cleaned_up_after() {
    let mut machine = running(NEVER);
    machine.handle(Event::Wanted(Goal::Paused), 1);
    let actions = machine.handle(Event::Ended(broken("killed")), 2);
    assert_eq!(actions, [Action::Abandon, Action::Begin(Work::Stop)]);
    assert_eq!(machine.state(), SandboxState::Failed);
    done(&mut machine);
    assert_eq!(
        (machine.state(), machine.at()),
        (SandboxState::Failed, At::Stopped)
    );
    assert_eq!(machine.end(), Some(broken("killed")));
}

#[test]
fn a_pause_that_fails_leaves_it_running() {
    let mut machine = running(NEVER);
    machine.handle(Event::Wanted(Goal::Paused), 1);
    let actions = machine.handle(Event::Done(Err(broken("no freezer"))), 2);
    assert_eq!(actions, []);
    assert_eq!(machine.state(), SandboxState::Running);
    assert_eq!(machine.life().goal, Goal::Running);
}

#[test]
fn a_removal_that_fails_is_tried_again_later_and_later() {
    let mut machine = running(NEVER);
    machine.handle(Event::Wanted(Goal::Deleted), 0);
    let mut now = 0;
    for wait in [1_000, 2_000, 4_000] {
        let failed = machine.handle(Event::Done(Err(broken("busy"))), now);
        assert_eq!(failed, []);
        assert_eq!(machine.wake_at(), Some(now + wait));
        now += wait;
        let again = machine.handle(Event::Tick, now);
        assert_eq!(again, [Action::Begin(Work::Remove)]);
    }
}

#[test]
fn what_should_run_is_started_when_the_host_comes_back_and_nothing_else_is() {
    let life = |goal| Life {
        goal,
        made: true,
        ..Life::new(0)
    };
    let (_, actions) = found(life(Goal::Running), At::Stopped, 9);
    assert_eq!(actions, [Action::Begin(Work::Start)]);
    let (machine, actions) = found(life(Goal::Running), At::Running, 9);
    assert_eq!((machine.state(), actions), (SandboxState::Running, vec![]));
    let (machine, actions) = found(life(Goal::Stopped), At::Stopped, 9);
    assert_eq!((machine.state(), actions), (SandboxState::Stopped, vec![]));
    let (machine, actions) = found(life(Goal::Paused), At::Stopped, 9);
    assert_eq!((machine.state(), actions), (SandboxState::Stopped, vec![]));
    assert_eq!(kind(&machine), Some(SandboxEndKind::HostRestarted));
    let (machine, actions) = found(life(Goal::Running), At::Nothing, 9);
    assert_eq!((machine.state(), actions), (SandboxState::Failed, vec![]));
    assert!(
        machine.check(Goal::Running, 9).is_err(),
        "not as an empty one"
    );
}

#[test]
fn a_host_that_halts_stops_what_runs_and_wants_it_still() {
    let mut machine = running(NEVER);
    let actions = machine.handle(Event::Halt, 1);
    assert_eq!(actions, [Action::Begin(Work::Stop)]);
    done(&mut machine);
    assert_eq!(machine.state(), SandboxState::Stopped);
    assert_eq!(kind(&machine), Some(SandboxEndKind::HostRestarted));
    assert_eq!(machine.life().goal, Goal::Running);
    assert_eq!(machine.life().end, None);
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Wanted(Goal::Running)),
        Just(Event::Wanted(Goal::Paused)),
        Just(Event::Wanted(Goal::Stopped)),
        Just(Event::Wanted(Goal::Deleted)),
        Just(Event::Phase(SandboxPhase::Guest)),
        Just(Event::Done(Ok(()))),
        Just(Event::Done(Err(broken("by chance")))),
        Just(Event::Ended(broken("gone"))),
        Just(Event::Halt),
        Just(Event::Tick),
    ]
}

proptest! {
    /// Whatever happens: one piece of work at a time, each bounded; and once everything
    /// succeeds, what is wanted comes to be.
    #[test]
    fn it_does_one_thing_at_a_time_and_gets_where_it_is_wanted(
        steps in prop::collection::vec((events(), 0_u64..200_000), 0..60),
        idle_ms in prop::option::of(1_000_u64..100_000),
        expires_at_ms in prop::option::of(1_000_u64..1_000_000),
    ) {
        let timeouts = Timeouts { idle_ms, expires_at_ms };
        let mut machine = new(timeouts);
        let mut now = 0;
        let mut under_way = true;
        let mut deleted = false;
        for (event, later) in steps {
            now += later;
            deleted |= event == Event::Wanted(Goal::Deleted);
            if matches!(event, Event::Done(_)) {
                under_way = false;
            }
            for action in machine.handle(event, now) {
                prop_assert_eq!(under_way, action == Action::Abandon);
                under_way = matches!(action, Action::Begin(_));
                if deleted {
                    prop_assert!(matches!(action, Action::Abandon | Action::Begin(Work::Remove)));
                }
            }
            prop_assert_eq!(under_way, machine.work().is_some());
            prop_assert!(machine.work().is_none() || machine.wake_at().is_some());
            prop_assert_eq!(machine.state() == SandboxState::Deleted, deleted);
        }
        for _ in 0..20 {
            let event = if machine.work().is_some() { Event::Done(Ok(())) } else { Event::Tick };
            now += 60_000;
            machine.handle(event, now);
        }
        if deleted {
            prop_assert_eq!(machine.at(), At::Gone);
        } else if idle_ms.is_none() && expires_at_ms.is_none() {
            prop_assert!(machine.is_settled());
        }
        if machine.state() == SandboxState::Failed {
            prop_assert!(machine.end().is_some());
        }
    }
}
