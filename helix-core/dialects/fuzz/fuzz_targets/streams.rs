//! Whatever an engine streams has one end in the other API, wherever it is cut.
#![no_main]

use helix_dialects::{Dialect, Event, Translation, messages, responses};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fn told<D: Dialect>(dialect: D, parts: &[&[u8]]) -> Vec<Event> {
    let mut translation = Translation::new(dialect);
    let mut events = translation.begin();
    for part in parts {
        events.append(&mut translation.push(part));
    }
    events.append(&mut translation.end());
    assert!(translation.is_over());
    let _ = translation.whole();
    events
}

fuzz_target!(|input: (u16, &[u8])| {
    let (at, stream) = input;
    let at = usize::from(at).min(stream.len());
    let (before, after) = stream.split_at(at);
    let response = || {
        let request = json!({"model": "m", "input": "x", "tools": [{"type": "custom", "name": "f"}]});
        let request = responses::Request::read(request).expect("it is a request");
        responses::Answer::new(&request, "1", 0)
    };
    let message = || {
        let request = json!({"model": "m", "thinking": {"type": "enabled"}, "messages": [{"role": "user", "content": "x"}]});
        let request = messages::Request::read(request).expect("it is a request");
        messages::Answer::new(&request, "1")
    };
    assert_eq!(told(response(), &[stream]), told(response(), &[before, after]));
    assert_eq!(told(message(), &[stream]), told(message(), &[before, after]));
});
