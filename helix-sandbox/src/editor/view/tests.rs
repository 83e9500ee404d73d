use helix_proto::{
    TypedId as _,
    agents::{
        Diff, Event, OptionKind, PermissionAnswer, QueuedPrompt, StopReason, ToolCall, ToolKind,
    },
};

use super::*;

fn turn(number: u128) -> TurnId {
    TurnId::from_parts(1, number)
}

fn thread() -> ThreadId {
    ThreadId::from_parts(1, 1)
}

fn event(seq: u64, body: EventBody) -> Entry {
    Entry::Agent {
        thread: thread(),
        event: Event {
            seq,
            at_ms: 1,
            body,
        },
    }
}

fn queued(number: u128, text: &str) -> QueuedPrompt {
    QueuedPrompt {
        turn: turn(number),
        content: vec![Content::text(text)],
        wanted: None,
    }
}

fn call(content: Vec<ToolContent>) -> EventBody {
    EventBody::ToolCall(Box::new(ToolCall {
        id: "c".into(),
        title: "Run".into(),
        kind: ToolKind::Execute,
        status: ToolStatus::InProgress,
        content,
        locations: Vec::new(),
        input: None,
    }))
}

/// The updates of entries.
fn updates(view: &mut View, entries: impl IntoIterator<Item = Entry>) -> Vec<Value> {
    let shown = entries
        .into_iter()
        .flat_map(|entry| view.apply(entry, &BTreeSet::new()));
    let updates = shown.filter_map(|shown| match shown {
        Shown::Update(update) => Some(update),
        _ => None,
    });
    updates.collect()
}

#[test]
fn a_prompt_is_shown_once_it_is_asked_and_not_to_whoever_shows_it_already() {
    let own = BTreeSet::from([turn(1), turn(2)]);
    let mut view = View::default();
    let ask = |view: &mut View, number, edited: bool| {
        let prompt = queued(number, "do");
        let position = 0;
        assert_eq!(
            view.apply(Entry::PromptQueued { prompt, position }, &own),
            []
        );
        if edited {
            let prompt = queued(number, "do otherwise");
            view.apply(Entry::PromptEdited { prompt }, &own);
        }
        let turn = turn(number);
        let shown = view.apply(Entry::TurnDispatched { turn }, &own);
        let end = TurnEnd::Completed {
            stop: StopReason::EndTurn,
        };
        assert_eq!(view.running(), Some(turn));
        view.apply(Entry::TurnEnded { turn, end }, &own);
        assert_eq!(view.running(), None);
        shown
    };
    let said = |text: &'static str| {
        move |number| {
            let chunk = words::prompt(turn(number), &Content::text(text));
            vec![Shown::Update(chunk)]
        }
    };
    assert_eq!(ask(&mut view, 1, false), []);
    assert_eq!(ask(&mut view, 2, true), said("do otherwise")(2));
    assert_eq!(ask(&mut view, 3, false), said("do")(3));
}

#[test]
fn a_request_is_open_until_somebody_answers_and_its_call_goes_on_then() {
    let mut view = View::default();
    let request = EventBody::PermissionRequested {
        call: Box::new(ToolUpdate {
            id: "c".into(),
            title: Some("Write".into()),
            kind: None,
            status: None,
            content: Some(vec![ToolContent::Diff(Diff {
                path: "/a".into(),
                before: None,
                after: "b".into(),
                omitted_bytes: 7,
            })]),
            locations: None,
            input: None,
            output: None,
        }),
        options: vec![PermissionOption {
            id: "yes".into(),
            name: "Allow".into(),
            kind: OptionKind::AllowOnce,
        }],
    };
    let at = (thread(), 4);
    assert_eq!(
        view.apply(event(4, request), &BTreeSet::new()),
        [Shown::Asked(at)]
    );
    let asked = view.request(at, thread()).unwrap();
    assert_eq!(asked["options"][0]["kind"], "allow_once");
    assert_eq!(asked["toolCall"]["content"][0]["newText"], "b");
    let left_out = &asked["toolCall"]["content"][1]["content"]["text"];
    assert!(left_out.as_str().unwrap().contains("7 bytes"));
    let answered = || Entry::PermissionAnswered {
        thread: thread(),
        request: 4,
        answer: PermissionAnswer::Cancelled,
    };
    let shown = view.apply(answered(), &BTreeSet::new());
    assert_eq!(shown[0], Shown::Answered(at));
    assert_eq!(view.open().count(), 0);
    assert_eq!(view.apply(answered(), &BTreeSet::new()), []);
}

#[test]
fn a_terminal_s_output_is_shown_as_its_end_in_the_call_that_has_it() {
    let mut view = View::default();
    let terminal = || "t".to_owned();
    let terminals = vec![ToolContent::Terminal {
        terminal: terminal(),
    }];
    updates(&mut view, [event(1, call(terminals))]);
    let print = |output: String| EventBody::Terminal {
        terminal: terminal(),
        output,
        omitted_bytes: 0,
    };
    let long = "ä".repeat(OUTPUT);
    let shown = updates(
        &mut view,
        [event(2, print(long)), event(3, print("end\n".into()))],
    );
    let last = shown.last().unwrap();
    assert_eq!(last["toolCallId"], "c");
    let text = last["content"][0]["content"]["text"].as_str().unwrap();
    assert!(text.ends_with("end\n```") && text.len() < OUTPUT + 16);
}

#[test]
fn modes_are_told_when_they_change_and_are_there_from_the_beginning() {
    let mut view = View::default();
    let modes = |current: &str| EventBody::Modes {
        current: current.into(),
        available: vec![Choice {
            id: "ask".into(),
            name: "Ask".into(),
            description: None,
        }],
    };
    let shown = updates(&mut view, [event(1, modes("ask")), event(2, modes("ask"))]);
    assert_eq!(shown.len(), 1);
    assert_eq!(view.state()["modes"]["currentModeId"], "ask");
    assert_eq!(updates(&mut view, [event(3, modes("plan"))]).len(), 1);
}
