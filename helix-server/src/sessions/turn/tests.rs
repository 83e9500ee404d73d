use std::time::Duration;

use helix_proto::TypedId as _;
use proptest::prelude::*;

use super::*;

fn turn() -> TurnId {
    TurnId::from_parts(1, 1)
}

fn machine(now: Instant) -> Machine {
    Machine::new(turn(), &SessionOptions::default(), now)
}

fn texts(events: &[SessionEventBody]) -> String {
    let text = |event: &SessionEventBody| match event {
        SessionEventBody::TurnDelta { text, .. } => text.clone(),
        _ => String::new(),
    };
    events.iter().map(text).collect()
}

fn ended(events: &[SessionEventBody]) -> Option<(TurnState, Option<String>)> {
    events.iter().find_map(|event| match event {
        SessionEventBody::TurnEnded { state, error, .. } => Some((*state, error.clone())),
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn parts_of_an_answer_are_gathered_for_a_batch_and_go_out_once() {
    let begun = Instant::now();
    let mut machine = machine(begun);
    assert_eq!(
        machine.on(Happening::Delta("a🎈".into()), begun),
        [SessionEventBody::TurnRunning { turn_id: turn() }]
    );
    assert!(
        machine
            .on(
                Happening::Delta("b".into()),
                begun + Duration::from_millis(5)
            )
            .is_empty()
    );
    assert_eq!(machine.next_tick(), begun + Duration::from_millis(30));
    assert_eq!(
        texts(&machine.tick(begun + Duration::from_millis(30))),
        "a🎈b"
    );
    let end = machine.on(Happening::Completed, begun + Duration::from_millis(31));
    assert_eq!(texts(&end), "");
    assert_eq!(ended(&end), Some((TurnState::Completed, None)));
}

#[tokio::test(start_paused = true)]
async fn an_end_takes_along_what_was_gathered_and_nothing_follows_it() {
    let now = Instant::now();
    let mut machine = machine(now);
    machine.on(Happening::Delta("half".into()), now);
    let end = machine.on(Happening::Cancelled, now);
    assert_eq!(texts(&end), "half");
    assert_eq!(ended(&end), Some((TurnState::Cancelled, None)));
    assert!(machine.on(Happening::Delta("more".into()), now).is_empty());
    assert!(machine.on(Happening::Completed, now).is_empty());
    assert!(machine.tick(now + Duration::from_secs(100_000)).is_empty());
    assert_eq!(machine.answer(), "half");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_says_nothing_is_given_up_with_the_reason() {
    let now = Instant::now();
    let mut machine = machine(now);
    machine.on(Happening::Opened, now);
    let at = machine.next_tick();
    assert_eq!(at, now + Duration::from_secs(120));
    let (state, error) = ended(&machine.tick(at)).unwrap();
    assert_eq!(state, TurnState::Failed);
    assert_eq!(error.as_deref(), Some("the model said nothing for 120 s"));
}

#[tokio::test(start_paused = true)]
async fn waiting_is_told_when_the_reason_changes_and_only_while_queued() {
    let now = Instant::now();
    let mut machine = machine(now);
    assert_eq!(
        machine.on(Happening::Waiting("memory".into()), now).len(),
        1
    );
    assert!(
        machine
            .on(Happening::Waiting("memory".into()), now)
            .is_empty()
    );
    assert_eq!(machine.waiting_for(), Some("memory"));
    machine.on(Happening::Opened, now);
    assert!(
        machine
            .on(Happening::Waiting("late".into()), now)
            .is_empty()
    );
    assert_eq!(machine.waiting_for(), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_end_fails_at_the_bound() {
    let now = Instant::now();
    let options = SessionOptions {
        answer_bytes: 10,
        ..SessionOptions::default()
    };
    let mut machine = Machine::new(turn(), &options, now);
    machine.on(Happening::Delta("12345678".into()), now);
    let end = machine.on(Happening::Delta("9ab".into()), now);
    assert_eq!(texts(&end), "12345678");
    assert_eq!(ended(&end).unwrap().0, TurnState::Failed);
}

#[derive(Debug, Clone)]
enum Step {
    On(Happening),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => "[a-z🎈é]{0,6}".prop_map(|text| Step::On(Happening::Delta(text))),
        6 => (0_u64..60).prop_map(Step::Pass),
        1 => (0_u64..200_000).prop_map(Step::Pass),
        2 => "[a-c]".prop_map(|reason| Step::On(Happening::Waiting(reason))),
        2 => Just(Step::On(Happening::Opened)),
        1 => Just(Step::On(Happening::Usage(Usage { prompt_tokens: 1, completion_tokens: 2 }))),
        1 => Just(Step::On(Happening::Completed)),
        1 => Just(Step::On(Happening::Cancelled)),
        1 => Just(Step::On(Happening::Failed("no".into()))),
    ]
}

proptest! {
    #[test]
    fn deltas_are_the_answer_and_there_is_one_end(steps in prop::collection::vec(step(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut now = runtime.block_on(async { Instant::now() });
        let mut machine = machine(now);
        let mut log = Vec::new();
        for step in steps {
            match step {
                Step::On(happening) => log.extend(machine.on(happening, now)),
                Step::Pass(ms) => {
                    let until = now + Duration::from_millis(ms);
                    while !machine.state().is_terminal() && machine.next_tick() <= until {
                        now = machine.next_tick();
                        log.extend(machine.tick(now));
                    }
                    now = until;
                }
            }
        }
        log.extend(machine.tick(now + Duration::from_secs(1_000_000)));
        let ends = log.iter().filter(|event| matches!(event, SessionEventBody::TurnEnded { .. }));
        prop_assert_eq!(ends.count(), 1);
        let is_end = matches!(log.last(), Some(SessionEventBody::TurnEnded { .. }));
        prop_assert!(is_end);
        prop_assert_eq!(texts(&log), machine.answer());
        prop_assert!(machine.state().is_terminal());
    }
}
