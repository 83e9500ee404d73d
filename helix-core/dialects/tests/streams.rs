//! Whatever an engine streams, and however it is cut: the other API's stream keeps its rules, and
//! says the same as the answer as a whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use helix_dialects::{Dialect, Event, Translation, messages, responses};
use proptest::prelude::*;
use serde_json::{Value, json};

fn chunk(delta: &Value) -> String {
    format!("data: {}\n\n", json!({"choices": [{"delta": delta}]}))
}

/// A chunk of a stream, as engines send them, in any order.
fn delta() -> impl Strategy<Value = String> {
    let said =
        |field: &'static str| "[a-zü🎈\\n]{0,4}".prop_map(move |text| chunk(&json!({field: text})));
    let call = (0_u64..3, any::<bool>(), "[{}a\":1]{0,3}").prop_map(|(index, named, arguments)| {
        let mut call = json!({"index": index, "function": {"arguments": arguments}});
        if named {
            call["id"] = format!("call{index}").into();
            call["function"]["name"] = format!("tool{index}").into();
        }
        chunk(&json!({"tool_calls": [call]}))
    });
    let whole = (0_u64..3).prop_map(|index| {
        let function = json!({"name": format!("tool{index}"), "arguments": "{\"input\":\"x\"}"});
        chunk(&json!({"tool_calls": [{"index": index, "id": format!("call{index}"), "function": function}]}))
    });
    prop_oneof![
        said("content"),
        said("reasoning_content"),
        said("refusal"),
        call,
        whole,
        Just(": ping\n\n".to_owned()),
    ]
}

fn stream() -> impl Strategy<Value = String> {
    let end = prop_oneof![
        Just("stop"),
        Just("length"),
        Just("tool_calls"),
        Just("content_filter"),
        Just("")
    ];
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
    (prop::collection::vec(delta(), 0..12), end).prop_map(move |(deltas, end)| {
        let mut text = deltas.concat();
        if end.is_empty() {
            return text;
        }
        let stop = json!({"choices": [{"delta": {}, "finish_reason": end}]});
        text.push_str(&format!("data: {stop}\n\n{usage}data: [DONE]\n\n"));
        text
    })
}

fn told<D: Dialect>(dialect: D, parts: &[&[u8]]) -> (Vec<Event>, Option<Value>) {
    let mut translation = Translation::new(dialect);
    let mut events = translation.begin();
    for part in parts {
        events.append(&mut translation.push(part));
    }
    events.append(&mut translation.end());
    assert!(translation.is_over());
    (events, translation.whole().ok())
}

fn response() -> responses::Answer {
    let request = json!({"model": "m", "input": "hi", "tools": [
        {"type": "function", "name": "tool0"}, {"type": "custom", "name": "tool1"},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "x"}]},
    ]});
    responses::Answer::new(&responses::Request::read(request).unwrap(), "1", 7)
}

fn message() -> messages::Answer {
    let thinking = json!({"type": "adaptive"});
    let request = json!({"model": "m", "max_tokens": 9, "thinking": thinking, "messages": [{"role": "user", "content": "hi"}]});
    messages::Answer::new(&messages::Request::read(request).unwrap(), "1")
}

fn cut<'a>(text: &'a str, cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let bytes = text.as_bytes();
    let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.sort_unstable();
    let mut parts = Vec::new();
    let mut from = 0;
    for at in at {
        parts.push(&bytes[from..at]);
        from = at;
    }
    parts.push(&bytes[from..]);
    parts
}

/// A message put together from its events, as clients do; fails where an event is out of place.
fn put_together(events: &[Event]) -> Option<Value> {
    let mut message = events[0].data["message"].clone();
    assert_eq!((events[0].name, events[1].name), ("message_start", "ping"));
    let mut open: Option<(Value, String)> = None;
    for event in &events[2..] {
        let data = &event.data;
        assert_eq!(data["type"], event.name);
        let index = message["content"].as_array().unwrap().len();
        match event.name {
            "content_block_start" => {
                assert!(open.is_none());
                assert_eq!(data["index"], index);
                open = Some((data["content_block"].clone(), String::new()));
            }
            "content_block_delta" => {
                assert_eq!(data["index"], index);
                let delta = &data["delta"];
                let more = ["text", "thinking", "partial_json"]
                    .iter()
                    .find_map(|it| delta[it].as_str());
                open.as_mut().unwrap().1.push_str(more.unwrap());
            }
            "content_block_stop" => {
                let (mut block, said) = open.take().unwrap();
                match block["type"].as_str().unwrap() {
                    "text" => block["text"] = said.into(),
                    "thinking" => block["thinking"] = said.into(),
                    _ => {
                        block["input"] =
                            serde_json::from_str(&said).ok().filter(Value::is_object)?
                    }
                }
                message["content"].as_array_mut().unwrap().push(block);
            }
            "message_delta" => {
                assert!(open.is_none());
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["stop_sequence"] = data["delta"]["stop_sequence"].clone();
                message["usage"] = data["usage"].clone();
            }
            "message_stop" => return Some(message),
            "error" => return None,
            other => panic!("{other}"),
        }
    }
    panic!("the stream has no end")
}

/// The items of a response, as their events told them, each checked against its deltas.
fn items(events: &[Event]) -> Vec<Value> {
    let mut items = Vec::new();
    let mut said = String::new();
    for (number, event) in events.iter().enumerate() {
        let data = &event.data;
        assert_eq!(data["sequence_number"], number);
        assert_eq!(data["type"], event.name);
        if let Some(index) = data["output_index"].as_u64() {
            assert_eq!(index, items.len() as u64);
        }
        match event.name {
            "response.output_item.added" | "response.content_part.added" => said.clear(),
            name if name.ends_with(".delta") => said.push_str(data["delta"].as_str().unwrap()),
            "response.output_text.done" | "response.reasoning_text.done" => {
                assert_eq!(data["text"], said)
            }
            "response.refusal.done" => assert_eq!(data["refusal"], said),
            "response.function_call_arguments.done" => assert_eq!(data["arguments"], said),
            "response.custom_tool_call_input.done" => assert_eq!(data["input"], said),
            "response.output_item.done" => items.push(data["item"].clone()),
            _ => {}
        }
    }
    items
}

proptest! {
    #[test]
    fn a_message_is_the_same_however_its_stream_is_cut(
        text in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let whole = told(message(), &[text.as_bytes()]);
        prop_assert_eq!(&told(message(), &cut(&text, &cuts)), &whole);
        let (events, message) = whole;
        // A call whose arguments are no object is told as it is in a stream, and fails as a whole.
        prop_assert_eq!(put_together(&events), message);
    }

    #[test]
    fn a_response_is_the_same_however_its_stream_is_cut(
        text in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let whole = told(response(), &[text.as_bytes()]);
        prop_assert_eq!(&told(response(), &cut(&text, &cuts)), &whole);
        let (events, response) = whole;
        let last = events.last().unwrap();
        let items = items(&events);
        prop_assert_eq!(&last.data["response"]["output"], &json!(items));
        match response {
            Some(response) => prop_assert_eq!(&last.data["response"], &response),
            None => prop_assert_eq!(last.name, "response.failed"),
        }
    }
}
