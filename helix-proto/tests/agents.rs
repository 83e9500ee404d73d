//! Agent sync's messages: back and forth, and whatever else arrives.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use helix_proto::{
    SandboxId, ThreadId, TurnId, TypedId as _,
    agents::{
        AgentCommand, AgentPhase, AgentSpec, Choice, Command, Content, Cost, Diff, Down, Entry,
        Error, Event, EventBody, GAP, Held, Known, Location, LogPage, MALFORMED, MAX_EVENT,
        MAX_EVENTS, MAX_MESSAGE, MAX_NAME, Numbered, Open, OptionKind, PermissionAnswer,
        PermissionOption, PlanEntry, PlanPriority, PlanStatus, StopReason, TOO_LARGE, ToolCall,
        ToolContent, ToolKind, ToolStatus, ToolUpdate, TurnEnd, Up, VERSION, Variable, Wanted,
    },
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

fn thread() -> impl Strategy<Value = ThreadId> {
    (0_u64..1 << 40, any::<u128>()).prop_map(|(at, random)| ThreadId::from_parts(at, random))
}

fn turn() -> impl Strategy<Value = TurnId> {
    (0_u64..1 << 40, any::<u128>()).prop_map(|(at, random)| TurnId::from_parts(at, random))
}

fn text() -> impl Strategy<Value = String> {
    "[a-z🎈é\"\\\\\n\0]{0,12}"
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        text().prop_map(Content::text),
        (text(), text()).prop_map(|(mime, data)| Content::Image { mime, data }),
        (text(), text()).prop_map(|(mime, data)| Content::Audio { mime, data }),
        (text(), text()).prop_map(|(uri, name)| Content::Link { uri, name }),
        (text(), text()).prop_map(|(uri, text)| Content::Resource { uri, text }),
    ]
}

fn answer() -> impl Strategy<Value = PermissionAnswer> {
    prop_oneof![
        text().prop_map(|option| PermissionAnswer::Selected { option }),
        Just(PermissionAnswer::Cancelled),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::from),
        text().prop_map(Value::from),
        vec(any::<bool>(), 0..3).prop_map(Value::from),
        text().prop_map(|text| json!({"a": {"b": text}})),
    ]
}

fn tool_content() -> impl Strategy<Value = ToolContent> {
    prop_oneof![
        content().prop_map(|content| ToolContent::Content { content }),
        (text(), option::of(text()), text(), 0_u64..3).prop_map(
            |(path, before, after, omitted_bytes)| ToolContent::Diff(Diff {
                path,
                before,
                after,
                omitted_bytes,
            })
        ),
        text().prop_map(|terminal| ToolContent::Terminal { terminal }),
    ]
}

fn location() -> impl Strategy<Value = Location> {
    (text(), option::of(any::<u32>())).prop_map(|(path, line)| Location { path, line })
}

fn tool_call() -> impl Strategy<Value = ToolCall> {
    let contents = (vec(tool_content(), 0..3), vec(location(), 0..3));
    (text(), text(), contents, option::of(value())).prop_map(
        |(id, title, (content, locations), input)| ToolCall {
            id,
            title,
            kind: ToolKind::Execute,
            status: ToolStatus::InProgress,
            content,
            locations,
            input,
        },
    )
}

fn tool_update() -> impl Strategy<Value = ToolUpdate> {
    (
        text(),
        option::of(text()),
        option::of(vec(tool_content(), 0..3)),
        option::of(vec(location(), 0..3)),
        option::of(value()),
        option::of(value()),
    )
        .prop_map(
            |(id, title, content, locations, input, output)| ToolUpdate {
                id,
                title,
                kind: Some(ToolKind::Edit),
                status: Some(ToolStatus::Failed),
                content,
                locations,
                input,
                output,
            },
        )
}

fn end() -> impl Strategy<Value = TurnEnd> {
    prop_oneof![
        Just(TurnEnd::Completed {
            stop: StopReason::MaxTokens
        }),
        Just(TurnEnd::Cancelled),
        text().prop_map(|reason| TurnEnd::Failed { reason }),
    ]
}

fn choices() -> impl Strategy<Value = Vec<Choice>> {
    let choice = (text(), text(), option::of(text())).prop_map(|(id, name, description)| Choice {
        id,
        name,
        description,
    });
    vec(choice, 0..3)
}

fn wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        vec(content(), 0..3).prop_map(|content| Wanted::Prompt { content }),
        turn().prop_map(|turn| Wanted::Cancel { turn }),
        (any::<u64>(), answer()).prop_map(|(request, answer)| Wanted::Answer { request, answer }),
        text().prop_map(|mode| Wanted::SetMode { mode }),
        text().prop_map(|model| Wanted::SetModel { model }),
    ]
}

fn permission() -> impl Strategy<Value = EventBody> {
    let option = (text(), text()).prop_map(|(id, name)| PermissionOption {
        id,
        name,
        kind: OptionKind::AllowAlways,
    });
    (tool_update(), vec(option, 1..4)).prop_map(|(call, options)| EventBody::PermissionRequested {
        call: Box::new(call),
        options,
    })
}

fn unknown() -> impl Strategy<Value = EventBody> {
    (text(), value()).prop_map(|(kind, field)| {
        let fields = json!({"type": format!("new_{kind}"), "field": field});
        EventBody::Unknown(fields.as_object().unwrap().clone())
    })
}

fn simple_event() -> impl Strategy<Value = EventBody> {
    prop_oneof![
        text().prop_map(|detail| EventBody::Agent {
            phase: AgentPhase::Stopped,
            detail
        }),
        (text(), any::<bool>())
            .prop_map(|(session, resumed)| EventBody::Session { session, resumed }),
        (text(), choices())
            .prop_map(|(current, available)| EventBody::Modes { current, available }),
        (text(), choices())
            .prop_map(|(current, available)| EventBody::Models { current, available }),
        (text(), text(), option::of(text())).prop_map(|(name, description, hint)| {
            let available = vec![AgentCommand {
                name,
                description,
                hint,
            }];
            EventBody::Commands { available }
        }),
        turn().prop_map(|turn| EventBody::TurnStarted { turn }),
        text().prop_map(|title| EventBody::Title { title }),
        text().prop_map(|text| EventBody::Notice { text }),
        Just(EventBody::Closed),
    ]
}

fn body() -> impl Strategy<Value = EventBody> {
    prop_oneof![
        simple_event(),
        content().prop_map(|content| EventBody::Message { content }),
        content().prop_map(|content| EventBody::Thought { content }),
        tool_call().prop_map(|call| EventBody::ToolCall(Box::new(call))),
        tool_update().prop_map(|update| EventBody::ToolUpdate(Box::new(update))),
        (text(), text(), any::<u64>()).prop_map(|(terminal, output, omitted_bytes)| {
            EventBody::Terminal {
                terminal,
                output,
                omitted_bytes,
            }
        }),
        (text(), option::of(any::<i32>()))
            .prop_map(|(terminal, code)| EventBody::TerminalEnded { terminal, code }),
        text().prop_map(|content| EventBody::Plan {
            entries: vec![PlanEntry {
                content,
                priority: PlanPriority::Low,
                status: PlanStatus::InProgress,
            }]
        }),
        permission(),
        (any::<u64>(), answer())
            .prop_map(|(request, answer)| EventBody::PermissionResolved { request, answer }),
        (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
            |(context_tokens, context_size, micros)| EventBody::Usage {
                context_tokens,
                context_size,
                cost: Some(Cost {
                    micros,
                    currency: "EUR".into()
                }),
            }
        ),
        (turn(), end()).prop_map(|(turn, end)| EventBody::TurnEnded { turn, end }),
        wanted().prop_map(EventBody::Wanted),
        unknown(),
    ]
}

fn open() -> impl Strategy<Value = Command> {
    (text(), vec(text(), 1..3), text(), option::of(text())).prop_map(
        |(name, command, secret, resume)| {
            Command::Open(Box::new(Open {
                sandbox: SandboxId::from_parts(1, 1),
                agent: AgentSpec {
                    name,
                    install: command.clone(),
                    command,
                    environment: vec![Variable {
                        name: "KEY".into(),
                        value: secret,
                    }],
                    directory: "/home".into(),
                },
                resume,
            }))
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        open(),
        (turn(), vec(content(), 0..3), option::of(any::<u64>())).prop_map(
            |(turn, content, wanted)| Command::Prompt {
                turn,
                content,
                wanted
            }
        ),
        (any::<u64>(), text()).prop_map(|(wanted, reason)| Command::Unwanted { wanted, reason }),
        turn().prop_map(|turn| Command::Cancel { turn }),
        (any::<u64>(), answer()).prop_map(|(request, answer)| Command::Answer { request, answer }),
        text().prop_map(|mode| Command::SetMode { mode }),
        text().prop_map(|model| Command::SetModel { model }),
        any::<bool>().prop_map(|restart| Command::Stop { restart }),
        Just(Command::Close),
    ]
}

fn up() -> impl Strategy<Value = Up> {
    let held = (thread(), any::<[u32; 3]>()).prop_map(|(thread, numbers)| Held {
        thread,
        accepted: numbers[0].into(),
        first_seq: numbers[1].into(),
        last_seq: numbers[2].into(),
    });
    prop_oneof![
        vec(held, 0..4).prop_map(|threads| Up::Hello {
            version: VERSION,
            threads
        }),
        (thread(), 1_u64..1 << 50, vec(body(), 1..4)).prop_map(|(thread, first, bodies)| {
            let event = |(seq, body)| Event {
                seq,
                at_ms: 1,
                body,
            };
            let events = (first..).zip(bodies).map(event).collect();
            Up::Events { thread, events }
        }),
        (thread(), any::<u64>()).prop_map(|(thread, through)| Up::Accepted { thread, through }),
        thread().prop_map(|thread| Up::Unknown { thread }),
        (thread(), any::<[u64; 2]>()).prop_map(|(thread, [reader, after])| Up::Follow {
            thread,
            reader,
            after
        }),
        any::<u64>().prop_map(|reader| Up::Unfollow { reader }),
    ]
}

fn down() -> impl Strategy<Value = Down> {
    let known = (thread(), any::<u64>()).prop_map(|(thread, acknowledged)| Known {
        thread,
        acknowledged,
    });
    prop_oneof![
        (vec(known, 0..4), vec(thread(), 0..4)).prop_map(|(threads, forget)| Down::Welcome {
            version: VERSION,
            threads,
            forget
        }),
        (thread(), 1..u64::MAX, command()).prop_map(|(thread, number, command)| Down::Command {
            thread,
            command: Numbered { number, command },
        }),
        (thread(), any::<u64>())
            .prop_map(|(thread, through)| Down::Acknowledge { thread, through }),
        thread().prop_map(|thread| Down::Forget { thread }),
        (thread(), any::<[u64; 2]>(), vec(body(), 0..4)).prop_map(
            |(thread, [reader, through], bodies)| {
                let event = |(seq, body)| Event {
                    seq,
                    at_ms: 1,
                    body,
                };
                let agent = |event| Entry::Agent { thread, event };
                let entries = (1..).zip(bodies).map(event).map(agent).collect();
                let more = through % 2 == 0;
                Down::Log(LogPage {
                    thread,
                    reader,
                    through,
                    more,
                    entries,
                })
            }
        ),
    ]
}

proptest! {
    #[test]
    fn what_a_host_says_is_read_as_it_was_meant(up in up()) {
        prop_assert_eq!(Up::decode(&up.encode().unwrap()), Ok(up));
    }

    #[test]
    fn what_a_host_is_told_is_read_as_it_was_meant(down in down()) {
        prop_assert_eq!(Down::decode(&down.encode().unwrap()), Ok(down));
    }

    #[test]
    fn a_message_with_any_byte_changed_is_read_or_refused(
        up in up(), at: prop::sample::Index, byte in b' '..=b'~',
    ) {
        let mut text = up.encode().unwrap().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(text) = String::from_utf8(text)
            && let Ok(read) = Up::decode(&text)
        {
            prop_assert_eq!(Up::decode(&read.encode().unwrap()), Ok(read));
        }
    }
}

fn event(fields: &Value) -> Result<Event, Error> {
    let message = json!({
        "type": "events",
        "thread": ThreadId::from_parts(1, 1),
        "events": [fields],
    });
    match Up::decode(&message.to_string())? {
        Up::Events { mut events, .. } => Ok(events.remove(0)),
        up => panic!("{up:?}"),
    }
}

#[test]
fn an_event_that_is_not_known_is_kept_as_it_came() {
    let came = json!({"seq": 1, "at_ms": 2, "type": "hologram", "depth": {"m": 3}});
    let event = event(&came).unwrap();
    assert!(matches!(event.body, EventBody::Unknown(_)));
    assert_eq!(serde_json::to_value(&event).unwrap(), came);
}

#[test]
fn an_event_that_is_known_and_cannot_be_read_is_refused() {
    for broken in [
        json!({"seq": 1, "at_ms": 2, "type": "message"}),
        json!({"seq": 1, "at_ms": 2, "type": "turn_ended", "turn": "trn_1", "outcome": "cancelled"}),
        json!({"seq": 1, "at_ms": 2, "type": "turn_ended", "outcome": "cancelled"}),
        json!({"seq": 1, "at_ms": 2, "type": 7}),
        json!({"seq": 1, "at_ms": 2}),
    ] {
        let error = event(&broken).unwrap_err();
        assert!(matches!(error, Error::Malformed(_)), "{broken}: {error}");
        assert_eq!(error.close_code(), MALFORMED);
    }
}

#[test]
fn kinds_of_tools_and_of_stops_that_are_not_known_are_others() {
    let call = json!({"seq": 1, "at_ms": 2, "type": "tool_call", "id": "1", "title": "t", "kind": "dance"});
    let EventBody::ToolCall(call) = event(&call).unwrap().body else {
        panic!("not a tool call");
    };
    assert_eq!(call.kind, ToolKind::Other);
}

fn message(bytes: usize) -> EventBody {
    EventBody::Message {
        content: Content::text("x".repeat(bytes)),
    }
}

fn events(bodies: Vec<EventBody>, first: u64) -> Up {
    let event = |(seq, body)| Event {
        seq,
        at_ms: 1,
        body,
    };
    Up::Events {
        thread: ThreadId::from_parts(1, 1),
        events: (first..).zip(bodies).map(event).collect(),
    }
}

#[test]
fn everything_has_a_bound() {
    let fits = MAX_EVENT - message(0).bytes();
    assert!(events(vec![message(fits)], 1).encode().is_ok());
    let name = "x".repeat(MAX_NAME + 1);
    for large in [
        events(vec![message(fits + 1)], 1),
        events(vec![EventBody::Closed; MAX_EVENTS + 1], 1),
        events(vec![message(fits); MAX_MESSAGE / MAX_EVENT + 1], 1),
        events(
            vec![EventBody::TerminalEnded {
                terminal: name.clone(),
                code: None,
            }],
            1,
        ),
    ] {
        let error = large.encode().unwrap_err();
        assert_eq!(error.close_code(), TOO_LARGE, "{error}");
        // Nor is it read, should somebody send it.
        let sent = serde_json::to_string(&large).unwrap();
        assert_eq!(Up::decode(&sent).unwrap_err().close_code(), TOO_LARGE);
    }
    let too_long = Down::Command {
        thread: ThreadId::from_parts(1, 1),
        command: Numbered {
            number: 1,
            command: Command::SetMode { mode: name },
        },
    };
    assert_eq!(too_long.encode().unwrap_err().close_code(), TOO_LARGE);
}

#[test]
fn numbers_begin_at_one_and_have_no_gaps() {
    let mut gap = events(vec![EventBody::Closed; 3], 1);
    if let Up::Events { events, .. } = &mut gap {
        events.remove(1);
    }
    for wrong in [
        gap,
        events(Vec::new(), 1),
        events(vec![EventBody::Closed], 0),
    ] {
        let sent = serde_json::to_string(&wrong).unwrap();
        assert_eq!(Up::decode(&sent), Err(Error::Numbers { what: "events" }));
    }
    assert_ne!(GAP, MALFORMED);
}

#[test]
fn another_version_is_named() {
    let hello = json!({"type": "hello", "version": 2, "threads": []}).to_string();
    let error = Up::decode(&hello).unwrap_err();
    assert_eq!(
        error.to_string(),
        "version 2 of agent sync, where 1 is spoken here"
    );
}

#[test]
fn the_value_of_a_variable_is_not_printed() {
    let variable = Variable {
        name: "OPENAI_API_KEY".into(),
        value: "hx_secret".into(),
    };
    assert!(!format!("{variable:?}").contains("secret"));
}

#[test]
fn the_examples_of_the_contract_are_messages() {
    let page = include_str!("../../docs/agent-sync.md");
    let (_, block) = page.split_once("```json\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    assert!(block.lines().count() > 5);
    for line in block.lines() {
        let read = Up::decode(line).is_ok() || Down::decode(line).is_ok();
        assert!(
            read,
            "{line}: {:?} {:?}",
            Up::decode(line),
            Down::decode(line)
        );
    }
}
