use helix_proto::{TypedId as _, agents::StopReason};
use proptest::prelude::*;

use super::*;

const MINUTE: u64 = 60_000;

fn turn(limits: &Limits) -> Turn {
    Turn::new(TurnId::from_parts(1, 1), limits, 0)
}

fn done() -> TurnEnd {
    TurnEnd::Completed {
        stop: StopReason::EndTurn,
    }
}

fn reason(changes: &[Change]) -> &str {
    match changes {
        [.., Change::Ended(TurnEnd::Failed { reason })] => reason,
        _ => panic!("no failure: {changes:?}"),
    }
}

#[test]
fn a_prompt_that_nobody_takes_fails_after_a_visible_count_down() {
    let limits = Limits::default();
    let mut turn = turn(&limits);
    let ends_at_ms = 15 * MINUTE;
    let counting = Change::Counting {
        waiting: Waiting::Start,
        ends_at_ms,
    };
    assert_eq!(
        turn.on(Happening::Dispatched, &limits, 0),
        [Change::Dispatched, counting]
    );
    assert_eq!(turn.next_tick(&limits), Some(ends_at_ms));
    assert!(turn.tick(&limits, ends_at_ms - 1).is_empty());
    let end = turn.tick(&limits, ends_at_ms);
    assert_eq!(
        reason(&end),
        "the agent did not take the prompt within 15 min"
    );
    assert!(turn.on(Happening::Opened, &limits, ends_at_ms).is_empty());
}

#[test]
fn a_silence_is_counted_down_and_a_word_stops_that() {
    let limits = Limits::default();
    let mut turn = turn(&limits);
    turn.on(Happening::Opened, &limits, 0);
    assert_eq!(turn.next_tick(&limits), Some(5 * MINUTE));
    let counting = Change::Counting {
        waiting: Waiting::Agent,
        ends_at_ms: 15 * MINUTE,
    };
    assert_eq!(turn.tick(&limits, 5 * MINUTE), [counting]);
    assert!(turn.tick(&limits, 6 * MINUTE).is_empty());
    assert_eq!(
        turn.on(Happening::Heard, &limits, 7 * MINUTE),
        [Change::GoesOn]
    );
    assert_eq!(turn.next_tick(&limits), Some(12 * MINUTE));
    turn.tick(&limits, 12 * MINUTE);
    let end = turn.tick(&limits, 22 * MINUTE);
    assert_eq!(reason(&end), "the agent said nothing for 15 min");
}

#[test]
fn nobody_is_silent_who_waits_for_a_permission() {
    let limits = Limits::default();
    let mut turn = turn(&limits);
    assert_eq!(
        turn.on(Happening::Asked, &limits, 0),
        [Change::Running, Change::Awaiting]
    );
    assert!(turn.tick(&limits, 10 * 60 * MINUTE).is_empty());
    let later = 10 * 60 * MINUTE;
    assert_eq!(
        turn.on(Happening::Answered, &limits, later),
        [Change::Running]
    );
    assert_eq!(turn.next_tick(&limits), Some(later + 5 * MINUTE));
}

#[test]
fn a_cancel_ends_the_turn_whatever_the_host_does() {
    let limits = Limits::default();
    let mut turn = turn(&limits);
    turn.on(Happening::Opened, &limits, 0);
    turn.on(Happening::Cancelling, &limits, MINUTE);
    turn.on(Happening::HostAway, &limits, MINUTE);
    turn.on(Happening::Cancelling, &limits, MINUTE + 1);
    assert_eq!(turn.next_tick(&limits), Some(2 * MINUTE));
    assert_eq!(
        turn.tick(&limits, 2 * MINUTE),
        [Change::Ended(TurnEnd::Cancelled)]
    );
}

#[test]
fn without_a_host_only_its_absence_counts() {
    let limits = Limits::default();
    let mut turn = turn(&limits);
    turn.on(Happening::Dispatched, &limits, 0);
    turn.on(Happening::HostAway, &limits, 10 * MINUTE);
    assert_eq!(turn.next_tick(&limits), Some(25 * MINUTE));
    let back = turn.on(Happening::HostBack, &limits, 20 * MINUTE);
    let counting = Change::Counting {
        waiting: Waiting::Start,
        ends_at_ms: 35 * MINUTE,
    };
    assert_eq!(back, [counting]);
    turn.on(Happening::HostAway, &limits, 30 * MINUTE);
    let end = turn.tick(&limits, 45 * MINUTE);
    assert_eq!(reason(&end), "the sandbox's host has been away for 15 min");
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        1 => Just(Happening::Waits("memory".into())),
        1 => Just(Happening::Dispatched),
        1 => Just(Happening::Opened),
        4 => Just(Happening::Heard),
        2 => Just(Happening::Asked),
        2 => Just(Happening::Answered),
        1 => Just(Happening::Cancelling),
        1 => Just(Happening::HostAway),
        1 => Just(Happening::HostBack),
        1 => Just(Happening::Ended(done())),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_there_is_one_end_and_every_wait_has_one(
        steps in prop::collection::vec((happening(), 0..20 * MINUTE), 0..40),
    ) {
        let limits = Limits::default();
        let mut turn = turn(&limits);
        let mut now = 0;
        let mut changes = Vec::new();
        for (happening, passes) in steps {
            let until = now + passes;
            while let Some(at) = turn.next_tick(&limits).filter(|at| *at <= until) {
                let ticked = turn.tick(&limits, at);
                prop_assert!(!ticked.is_empty(), "a tick that was asked for and does nothing");
                changes.extend(ticked);
            }
            now = until;
            changes.extend(turn.on(happening, &limits, now));
            prop_assert_eq!(turn.next_tick(&limits).is_none(), turn.is_over());
        }
        while let Some(at) = turn.next_tick(&limits) {
            changes.extend(turn.tick(&limits, at));
        }
        let ends = changes.iter().filter(|change| matches!(change, Change::Ended(_)));
        prop_assert_eq!(ends.count(), 1);
        prop_assert!(matches!(changes.last(), Some(Change::Ended(_))));
    }
}
