use helix_proto::{
    TypedId as _,
    agents::{MAX_EVENT, StopReason, ToolContent, TurnEnd},
};
use proptest::prelude::*;

use super::*;

fn started(session: Option<&str>) -> Acp {
    Acp::new("/work".into(), false, session.map(str::to_owned)).0
}

fn answers(acp: &mut Acp, id: u64, result: &Value) -> Vec<Out> {
    acp.line(&json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
}

fn refuses(acp: &mut Acp, id: u64, message: &str) -> Vec<Out> {
    let error = json!({"code": -32601, "message": message});
    acp.line(&json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string())
}

fn sent(out: &[Out]) -> Vec<Value> {
    let line = |out: &Out| match out {
        Out::Send(line) => Some(serde_json::from_str(line).unwrap()),
        _ => None,
    };
    out.iter().filter_map(line).collect()
}

fn can(loads: bool, resumes: bool) -> Value {
    let mut can = json!({"loadSession": loads});
    if resumes {
        can["sessionCapabilities"] = json!({"resume": {}});
    }
    json!({"protocolVersion": 1, "agentCapabilities": can})
}

fn ready() -> Acp {
    let mut acp = started(None);
    answers(&mut acp, 1, &can(false, false));
    let out = answers(&mut acp, 2, &json!({"sessionId": "s"}));
    let expected = Fact::Ready {
        session: "s".into(),
        resumed: false,
    };
    assert_eq!(out, [Out::Fact(expected)]);
    acp
}

fn update(acp: &mut Acp, update: &Value) -> Vec<Out> {
    let params = json!({"sessionId": "s", "update": update});
    acp.line(&json!({"jsonrpc": "2.0", "method": "session/update", "params": params}).to_string())
}

#[test]
fn a_session_is_gone_on_with_as_the_agent_can_and_else_begun() {
    for (loads, resumes, methods) in [
        (false, true, &["session/resume", "session/new"][..]),
        (true, false, &["session/load", "session/new"]),
        (
            true,
            true,
            &["session/resume", "session/load", "session/new"],
        ),
        (false, false, &["session/new"]),
    ] {
        let mut acp = started(Some("old"));
        let mut out = answers(&mut acp, 1, &can(loads, resumes));
        // Each is refused, and the next is tried.
        for (number, method) in (2..).zip(methods) {
            let [request] = &sent(&out)[..] else {
                panic!("{out:?}")
            };
            assert_eq!(request["method"], *method);
            let session = &request["params"]["sessionId"];
            let is_new = *method == "session/new";
            assert_eq!(session.as_str(), (!is_new).then_some("old"));
            out = refuses(&mut acp, number, "no");
        }
        assert!(matches!(&out[..], [Out::Broken(_)]), "{out:?}");
    }
}

#[test]
fn what_is_repeated_while_a_session_is_loaded_is_not_said() {
    let mut acp = started(Some("s"));
    answers(&mut acp, 1, &can(true, false));
    let chunk =
        json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "old"}});
    assert_eq!(update(&mut acp, &chunk), []);
    let out = answers(&mut acp, 2, &Value::Null);
    assert!(
        matches!(&out[..], [Out::Fact(Fact::Ready { resumed: true, .. })]),
        "{out:?}"
    );
    assert_eq!(update(&mut acp, &chunk).len(), 1);
}

#[test]
fn another_version_and_no_agent_at_all_are_refused_with_the_reason() {
    let mut acp = started(None);
    let out = answers(&mut acp, 1, &json!({"protocolVersion": 7, "odd": true}));
    let [Out::Broken(why)] = &out[..] else {
        panic!("{out:?}")
    };
    assert!(why.contains("version 7"), "{why}");
}

#[test]
fn a_turn_is_found_again_by_the_memory_that_was_written_down() {
    let mut acp = ready();
    let turn = TurnId::from_parts(1, 1);
    let out = acp.tell(&Tell::Prompt { turn }, &[Content::text("do")]);
    let id = sent(&out)[0]["id"].as_u64().unwrap();
    let written = serde_json::to_string(&acp).unwrap();
    let mut again: Acp = serde_json::from_str(&written).unwrap();
    let out = answers(&mut again, id, &json!({"stopReason": "max_tokens"}));
    let end = TurnEnd::Completed {
        stop: StopReason::MaxTokens,
    };
    assert_eq!(out, [Out::Fact(Fact::Done { turn, end })]);
}

#[test]
fn an_answer_that_is_read_again_is_said_again() {
    // A host that was restarted may read a line twice, with the memory of after the first time.
    let mut acp = ready();
    let turn = TurnId::from_parts(1, 1);
    let out = acp.tell(&Tell::Prompt { turn }, &[Content::text("do")]);
    let id = sent(&out)[0]["id"].as_u64().unwrap();
    let result = json!({"stopReason": "end_turn"});
    let first = answers(&mut acp, id, &result);
    assert_eq!(answers(&mut acp, id, &result), first);
}

#[test]
fn an_error_after_a_cancel_is_a_cancelled_turn() {
    let mut acp = ready();
    let turn = TurnId::from_parts(1, 1);
    acp.tell(&Tell::Prompt { turn }, &[]);
    acp.tell(&Tell::Cancel, &[]);
    let end = TurnEnd::Cancelled;
    assert_eq!(
        refuses(&mut acp, 3, "aborted"),
        [Out::Fact(Fact::Done { turn, end })]
    );
}

#[test]
fn whatever_is_too_large_is_cut_to_fit() {
    let mut acp = ready();
    let long = "\u{1}".repeat(300 << 10);
    let diff = json!({"type": "diff", "path": "/a", "oldText": long, "newText": long});
    let text = json!({"type": "content", "content": {"type": "text", "text": long}});
    let mut call = json!({
        "sessionUpdate": "tool_call", "toolCallId": "1", "title": long,
        "content": [diff, text, text, text], "rawInput": {"a": long},
    });
    for kind in ["tool_call", "tool_call_update"] {
        call["sessionUpdate"] = kind.into();
        let [Out::Fact(Fact::Said(body))] = &update(&mut acp, &call)[..] else {
            panic!()
        };
        body.check().unwrap();
        let content = match &**body {
            EventBody::ToolCall(call) => &call.content,
            EventBody::ToolUpdate(update) => update.content.as_ref().unwrap(),
            other => panic!("{other:?}"),
        };
        let ToolContent::Diff(diff) = &content[0] else {
            panic!("{content:?}")
        };
        assert!(diff.omitted_bytes > 0);
    }
    let chunk =
        json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": long}});
    let mut said = 0;
    for out in update(&mut acp, &chunk) {
        let Out::Fact(Fact::Said(body)) = out else {
            panic!("{out:?}")
        };
        assert!(body.bytes() <= MAX_EVENT);
        let EventBody::Message {
            content: Content::Text { text },
        } = *body
        else {
            panic!()
        };
        said += text.len();
    }
    assert_eq!(said, long.len(), "in pieces, and all of it");
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("agent_message_chunk"),
        Just("tool_call"),
        Just("tool_call_update"),
        Just("plan"),
        Just("usage_update"),
        Just("text"),
        Just("diff"),
        Just("terminal"),
        Just("s"),
        Just(""),
        Just("config_option_update"),
        Just("selected"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("sessionUpdate"),
        Just("content"),
        Just("type"),
        Just("text"),
        Just("toolCallId"),
        Just("update"),
        Just("sessionId"),
        Just("options"),
        Just("toolCall"),
        Just("entries"),
        Just("amount"),
        Just("cost"),
        Just("used"),
        Just("size"),
        Just("path"),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6).prop_map(|map| {
                let pairs = map.into_iter().map(|(key, value)| (key.to_owned(), value));
                Value::Object(pairs.collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_an_agent_says_is_within_the_bounds(
        id in any_json(),
        method in prop::option::of(prop_oneof![
            Just("session/update"), Just("session/request_permission"), Just("fs/read_text_file"),
            Just("fs/write_text_file"), Just("terminal/create"), Just("$/cancel_request"), Just("x"),
        ]),
        params in any_json(),
        result in prop::option::of(any_json()),
    ) {
        let mut message = json!({"id": id, "params": params});
        if let Some(method) = method {
            message["method"] = method.into();
        }
        if let Some(result) = result {
            message["result"] = result;
        }
        for mut acp in [started(None), ready()] {
            for out in acp.line(&message.to_string()) {
                if let Out::Fact(Fact::Said(body)) = out {
                    prop_assert!(body.bytes() <= MAX_EVENT);
                }
            }
        }
    }

    #[test]
    fn no_line_is_too_odd(line in ".{0,200}") {
        ready().line(&line);
    }
}
