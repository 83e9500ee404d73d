//! Requests as agents send them, and as nobody does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use helix_dialects::{chat::Upstream, messages, responses};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What Codex sends, shortened.
fn codex() -> Value {
    json!({
        "model": "gpt-5-codex",
        "instructions": "You are Codex.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "write"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"}]},
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}], "encrypted_content": null},
            {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
            {"type": "function_call", "call_id": "c2", "name": "list", "namespace": "mcp", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "a"}]},
        ],
        "tools": [
            {"type": "function", "name": "exec_command", "description": "Runs", "strict": false,
                "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}}},
            {"type": "custom", "name": "apply_patch", "description": "Patches",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
            {"type": "web_search", "external_web_access": false},
            {"type": "namespace", "name": "mcp", "tools": [{"type": "function", "name": "list"}]},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": false,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": false,
        "stream": true,
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 100,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}},
        "client_metadata": {"x": "y"},
    })
}

/// What Claude Code sends, shortened.
fn claude() -> Value {
    json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 32000,
        "system": [{"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "<system-reminder>"}, {"type": "text", "text": "write"}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "tool_use", "id": "t1", "name": "Write", "input": {"file_path": "a"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": "no"},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "doc"}}]},
        ],
        "tools": [{"name": "Write", "description": "Writes", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}],
        "tool_choice": {"type": "tool", "name": "Write", "disable_parallel_tool_use": true},
        "thinking": {"type": "adaptive"},
        "stop_sequences": ["END"],
        "temperature": 1,
        "top_k": 40,
        "metadata": {"user_id": "u"},
        "context_management": {"edits": []},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "stream": true,
    })
}

/// Whether maps keep an order depends on what else is built.
fn snapshot(name: &str, chat: &Value) {
    let mut settings = insta::Settings::clone_current();
    settings.set_sort_maps(true);
    settings.bind(|| insta::assert_json_snapshot!(name, chat));
}

#[test]
fn what_codex_sends_becomes_a_chat_completion() {
    let request = responses::Request::read(codex()).unwrap();
    snapshot(
        "codex_for_an_engine",
        &request.clone().into_chat(Upstream::Engine),
    );
    let openai = request.into_chat(Upstream::OpenAi);
    assert_eq!(openai["max_completion_tokens"], 100);
    assert!(!openai.to_string().contains("reasoning_content"));
}

#[test]
fn what_claude_code_sends_becomes_a_chat_completion() {
    let request = messages::Request::read(claude()).unwrap();
    snapshot(
        "claude_code_for_an_engine",
        &request.clone().into_chat(Upstream::Engine),
    );
    let openai = request.into_chat(Upstream::OpenAi);
    assert_eq!(openai["max_completion_tokens"], 32000);
    assert_eq!(openai["top_k"], Value::Null);
}

#[test]
fn only_the_tools_that_are_allowed_are_offered() {
    let mut request = codex();
    let allowed = json!([{"type": "function", "name": "exec_command"}, {"type": "web_search"}]);
    request["tool_choice"] = json!({"type": "allowed_tools", "mode": "required", "tools": allowed});
    let chat = responses::Request::read(request.clone())
        .unwrap()
        .into_chat(Upstream::Engine);
    assert_eq!(chat["tool_choice"], "required");
    assert_eq!(chat["tools"].as_array().unwrap().len(), 1);
    request["tools"] = json!([]);
    request["tool_choice"] = "auto".into();
    let chat = responses::Request::read(request.clone())
        .unwrap()
        .into_chat(Upstream::Engine);
    assert_eq!(
        (&chat["tools"], &chat["tool_choice"]),
        (&Value::Null, &Value::Null)
    );
}

fn value() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("user"),
        Just("assistant"),
        Just("system"),
        Just("message"),
        Just("text"),
        Just("input_text"),
        Just("tool_use"),
        Just("tool_result"),
        Just("function_call"),
        Just("function_call_output"),
        Just("reasoning"),
        Just("image"),
        Just("base64"),
        Just("function"),
        Just("custom"),
        Just("namespace"),
        Just("allowed_tools"),
        Just("document"),
        Just("x"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_u64..9).prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    let field = prop_oneof![
        Just("type"),
        Just("role"),
        Just("content"),
        Just("text"),
        Just("tools"),
        Just("name"),
        Just("id"),
        Just("call_id"),
        Just("arguments"),
        Just("input"),
        Just("output"),
        Just("source"),
        Just("data"),
        Just("tool_use_id"),
        Just("input_schema"),
        Just("tool_choice"),
        Just("thinking"),
        Just("image_url"),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((field.clone(), inner), 0..6).prop_map(|fields| {
                let fields = fields
                    .into_iter()
                    .map(|(field, value)| (field.to_owned(), value));
                Value::Object(fields.collect())
            }),
        ]
    })
}

/// What templates of engines hold to.
fn is_in_order(chat: &Value) {
    let roles: Vec<_> = chat["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["role"].as_str().unwrap())
        .collect();
    for (at, pair) in roles.windows(2).enumerate() {
        assert_ne!(pair[1], "system", "{chat}");
        assert!(pair[0] != pair[1] || pair[0] == "tool", "{at}: {chat}");
    }
}

proptest! {
    #[test]
    fn any_request_is_translated_or_refused(value in value(), tools in value(), choice in value(), system in value()) {
        let request = json!({"model": "m", "input": value, "tools": tools, "tool_choice": choice, "instructions": system});
        if let Ok(request) = responses::Request::read(request) {
            is_in_order(&request.into_chat(Upstream::Engine));
        }
        let request = json!({"model": "m", "messages": value, "tools": tools, "tool_choice": choice, "system": system});
        if let Ok(request) = messages::Request::read(request) {
            let chat = request.into_chat(Upstream::Engine);
            is_in_order(&chat);
            messages::estimate(&chat);
        }
        let _ = responses::Request::read(value.clone());
        let _ = messages::Request::read(value);
    }
}
