//! Whatever a client sends is refused, or becomes a chat completion.
#![no_main]

use helix_dialects::{chat, messages, responses};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    if let Some(made) = chat::with_usage(body) {
        assert!(serde_json::from_slice::<Value>(&made).is_ok());
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    for upstream in [chat::Upstream::Engine, chat::Upstream::OpenAi] {
        if let Ok(request) = responses::Request::read(body.clone()) {
            assert!(request.into_chat(upstream)["messages"].is_array());
        }
        if let Ok(request) = messages::Request::read(body.clone()) {
            let chat = request.into_chat(upstream);
            assert!(chat["messages"].is_array());
            messages::estimate(&chat);
        }
    }
});
