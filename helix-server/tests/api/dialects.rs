//! The APIs that agents speak, Responses and Messages, answered by a model that speaks chat
//! completions.

use futures_util::StreamExt as _;
use helix_proto::{auth::Scope, session::ModelUsage};
use http::Method;
use serde_json::{Value, json};

use crate::{
    person::{Answer, Person, Proof},
    session_keys,
    world::{Kind, World, eventually},
};

const MODEL: &str = "scripted/m";

async fn caller(world: &World) -> Person {
    let key = world.admin().await.key(&[Scope::Inference]).await;
    world.stranger().with(Proof::Bearer(key.secret))
}

fn response(text: &str, stream: bool) -> Value {
    json!({"model": MODEL, "input": text, "stream": stream, "tools": [
        {"type": "function", "name": "write_file", "parameters": {"type": "object"}},
        {"type": "web_search"},
    ]})
}

fn message(text: &str, stream: bool) -> Value {
    json!({
        "model": MODEL,
        "max_tokens": 100,
        "stream": stream,
        "messages": [{"role": "user", "content": text}],
        "tools": [{"name": "write_file", "input_schema": {"type": "object"}}],
    })
}

/// The events of a stream, each with the name that its data has.
fn events(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert!(
        answer.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/event-stream")
    );
    let text = std::str::from_utf8(&answer.body).unwrap();
    let events = text.split("\n\n").filter(|event| !event.is_empty());
    events
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        })
        .collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_is_streamed_as_the_api_says() {
    let world = World::start(Kind::Sqlite).await;
    let caller = caller(&world).await;
    let answer = caller
        .post("/v1/responses", response("please call", true))
        .await;
    let events = events(&answer);
    assert_eq!(
        names(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.reasoning_text.delta",
            "response.reasoning_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let response = &events.last().unwrap()["response"];
    assert_eq!(response["status"], "completed");
    assert_eq!(response["output"][2]["call_id"], "call_7");
    let arguments = r#"{"path":"a.txt","content":"hi"}"#;
    assert_eq!(response["output"][2]["arguments"], arguments);
    assert_eq!(
        response["usage"]["input_tokens_details"]["cached_tokens"],
        6
    );
    assert_eq!(response["usage"]["total_tokens"], 13);
    assert_eq!(response["tools"].as_array().unwrap().len(), 1);
    let asked = &world.model.requests()[0];
    assert_eq!(asked["tools"].as_array().unwrap().len(), 1, "{asked}");

    // The same, at once; and what came of the call.
    let whole: Value = caller
        .post("/v1/responses", self::response("please call", false))
        .await
        .expect(200);
    assert_eq!(whole["output"][2]["arguments"], arguments);
    let mut input = whole["output"].as_array().unwrap().clone();
    input.insert(
        0,
        json!({"role": "user", "content": [{"type": "input_text", "text": "please call"}]}),
    );
    input.push(json!({"type": "function_call_output", "call_id": "call_7", "output": "written"}));
    let next: Value = caller
        .post(
            "/v1/responses",
            json!({"model": MODEL, "input": input, "instructions": "Be brief."}),
        )
        .await
        .expect(200);
    assert_eq!(
        next["output"][0]["content"][0]["text"],
        "You said: 🎈written"
    );
    let call = json!({"id": "call_7", "type": "function", "function": {"name": "write_file", "arguments": arguments}});
    assert_eq!(
        world.model.requests()[2]["messages"],
        json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "please call"},
            {"role": "assistant", "content": "I write.", "reasoning_content": "hm", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_7", "content": "written"},
        ])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_streamed_as_the_api_says() {
    let world = World::start(Kind::Sqlite).await;
    let caller = caller(&world).await;
    let mut body = message("please call", true);
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 50});
    let answer = caller.post("/v1/messages?beta=true", body).await;
    let events = events(&answer);
    assert_eq!(
        names(&events),
        [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    let end = &events[12];
    assert_eq!(end["delta"]["stop_reason"], "tool_use");
    assert_eq!(end["usage"]["input_tokens"], 3);
    assert_eq!(end["usage"]["cache_read_input_tokens"], 6);

    // The same, at once, without thoughts; and what came of the call, with a picture.
    let whole: Value = caller
        .post("/v1/messages", message("please call", false))
        .await
        .expect(200);
    assert_eq!(
        whole["content"],
        json!([
            {"type": "text", "text": "I write."},
            {"type": "tool_use", "id": "call_7", "name": "write_file", "input": {"path": "a.txt", "content": "hi"}},
        ])
    );
    let picture = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}});
    let result = json!({"type": "tool_result", "tool_use_id": "call_7", "content": [{"type": "text", "text": "see"}, picture]});
    let body = json!({
        "model": MODEL,
        "max_tokens": 100,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "stop_sequences": ["END"],
        "top_k": 3,
        "messages": [
            {"role": "user", "content": "please call"},
            {"role": "assistant", "content": whole["content"]},
            {"role": "user", "content": [result]},
            {"role": "assistant", "content": "I see."},
            {"role": "user", "content": [{"type": "text", "text": "and"}, {"type": "text", "text": "now"}]},
        ],
    });
    let next: Value = caller.post("/v1/messages", body).await.expect(200);
    assert_eq!(next["stop_reason"], "end_turn");
    let asked = &world.model.requests()[2];
    assert_eq!(
        (&asked["stop"], &asked["top_k"], &asked["max_tokens"]),
        (&json!(["END"]), &json!(3), &json!(100))
    );
    assert_eq!(
        asked["messages"][3],
        json!({"role": "tool", "tool_call_id": "call_7", "content": "see"})
    );
    assert_eq!(
        asked["messages"][4]["content"][0]["image_url"]["url"],
        "data:image/png;base64,AA=="
    );
    assert_eq!(asked["messages"][6]["content"], "and\n\nnow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_in_the_shape_of_the_api_that_was_asked() {
    let world = World::start(Kind::Sqlite).await;
    let caller = caller(&world).await;
    let check = async |path: &str, body: Value, status: u16, kind: &str, says: &str| {
        let answer = caller.post(path, body).await;
        let error: Value = answer.expect(status);
        if path == "/v1/responses" {
            assert_eq!(error["type"], Value::Null, "{error}");
        } else {
            assert_eq!(error["type"], "error", "{error}");
            assert!(
                error["request_id"].as_str().unwrap().starts_with("req_"),
                "{error}"
            );
        }
        assert_eq!(error["error"]["type"], kind, "{error}");
        assert!(
            error["error"]["message"].as_str().unwrap().contains(says),
            "{error}"
        );
    };
    let invalid = "invalid_request_error";
    let with = |mut body: Value, field: &str, value: Value| {
        body[field] = value;
        body
    };
    let r = || response("hi", true);
    let path = "/v1/responses";
    check(
        path,
        with(r(), "previous_response_id", json!("resp_1")),
        400,
        invalid,
        "not stored",
    )
    .await;
    check(
        path,
        with(r(), "input", json!([{"type": "item_reference", "id": "x"}])),
        400,
        invalid,
        "input[0]",
    )
    .await;
    check(
        path,
        with(r(), "tool_choice", json!({"type": "web_search"})),
        400,
        invalid,
        "tool_choice",
    )
    .await;
    check(
        path,
        with(r(), "model", json!("no-such")),
        404,
        invalid,
        "available",
    )
    .await;
    check(path, response("refuse", true), 400, invalid, "too long").await;
    check(
        path,
        response("stumble", false),
        502,
        "server_error",
        "out of memory",
    )
    .await;
    let m = || message("hi", true);
    let path = "/v1/messages";
    check(
        path,
        with(m(), "max_tokens", Value::Null),
        400,
        invalid,
        "max_tokens",
    )
    .await;
    check(
        path,
        with(
            m(),
            "messages",
            json!([{"role": "user", "content": [{"type": "x"}]}]),
        ),
        400,
        invalid,
        "messages.0.content.0",
    )
    .await;
    check(
        path,
        with(m(), "model", json!("no-such")),
        404,
        "not_found_error",
        "available",
    )
    .await;
    check(path, message("refuse", true), 400, invalid, "too long").await;
    check(
        path,
        message("stumble", false),
        502,
        "api_error",
        "out of memory",
    )
    .await;
    check(
        "/v1/messages/count_tokens",
        json!({"model": MODEL}),
        400,
        invalid,
        "messages",
    )
    .await;

    let stranger = world.stranger().post("/v1/messages", m()).await;
    let error: Value = stranger.expect(401);
    assert_eq!(error["error"]["type"], "authentication_error");
    assert_eq!(
        stranger.headers["request-id"],
        error["request_id"].as_str().unwrap()
    );

    // Once the stream has begun, in the stream.
    let answer = caller
        .post("/v1/responses", response("stumble", true))
        .await;
    let failed = events(&answer);
    assert_eq!(
        failed.last().unwrap()["response"]["error"]["message"],
        "out of memory"
    );
    assert_eq!(failed.last().unwrap()["type"], "response.failed");
    let answer = caller.post("/v1/messages", message("break", true)).await;
    let broken = events(&answer);
    assert_eq!(broken.last().unwrap()["error"]["type"], "api_error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anthropics_clients_find_the_models_and_about_how_many_tokens_there_are() {
    let world = World::start_with(Kind::Sqlite, |options| {
        options.providers[0].models = vec!["m".into(), "n".into()];
    })
    .await;
    let owner = world.admin().await;
    let key = owner.key(&[Scope::Inference]).await.secret;
    let request = |path: &str| {
        let request = world.stranger().request(Method::GET, path);
        request
            .header("x-api-key", &key)
            .header("anthropic-version", "2023-06-01")
    };
    let models: Value = Person::send(request("/v1/models?limit=20"))
        .await
        .expect(200);
    assert_eq!(models["last_id"], "scripted/n");
    assert_eq!(models["data"][0]["type"], "model");
    let model: Value = Person::send(request("/v1/models/scripted/m"))
        .await
        .expect(200);
    assert_eq!(model["id"], "scripted/m");
    let missing: Value = Person::send(request("/v1/models/x")).await.expect(404);
    assert_eq!(missing["error"]["type"], "not_found_error");

    let caller = world.stranger().with(Proof::Bearer(key));
    let body = message(&"word ".repeat(80), false);
    let counted = caller
        .post("/v1/messages/count_tokens?beta=true", body)
        .await;
    assert_eq!(counted.headers["x-helix-counted-by"], "estimate");
    let counted: Value = counted.expect(200);
    let tokens = counted["input_tokens"].as_u64().unwrap();
    assert!((100..150).contains(&tokens), "{tokens}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_cancels_the_work() {
    let world = World::start(Kind::Sqlite).await;
    let caller = caller(&world).await;
    let asked = [
        ("/v1/responses", response("hold", true), 1),
        ("/v1/messages", message("hold", true), 2),
    ];
    for (path, body, left) in asked {
        let request = caller.request(Method::POST, path).json(&body);
        let mut answer = request.send().await.unwrap().bytes_stream();
        assert!(answer.next().await.unwrap().is_ok());
        drop(answer);
        eventually("the work to end", async || {
            (world.model.left() == left).then_some(())
        })
        .await;
    }
    // One that does not want events is left too.
    let request = caller
        .request(Method::POST, "/v1/messages")
        .json(&message("hold", false));
    let asked = eventually("the question", async || {
        (world.model.requests().len() == 3).then_some(())
    });
    tokio::select! {
        answer = request.send() => panic!("{answer:?}"),
        () = asked => {}
    }
    eventually("the work to end", async || {
        (world.model.left() == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_asks_is_counted_for_its_session_by_whichever_api() {
    let world = World::start(Kind::Sqlite).await;
    let owner = world.admin().await;
    let session = session_keys::session(&owner, MODEL).await;
    let agent = session_keys::agent(&world, &session).await;
    let mut asked = response("please call", true);
    asked["model"] = "gpt-5".into();
    assert_eq!(agent.post("/v1/responses", asked).await.status, 200);
    let mut asked = message("hi", false);
    asked["model"] = "claude-x".into();
    let answer: Value = agent.post("/v1/messages", asked).await.expect(200);
    assert_eq!(answer["model"], "claude-x");
    // Also where the client does not ask for the cost.
    let chat =
        json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(agent.post("/v1/chat/completions", chat).await.status, 200);
    assert_eq!(
        world.model.requests()[2]["stream_options"]["include_usage"],
        true
    );
    let expected = ModelUsage {
        requests: 3,
        prompt_tokens: 9 + 5 + 5,
        completion_tokens: 4 + 2 + 2,
    };
    eventually("the counts", async || {
        let usage = world.app.session_keys().usage(session.id).await.unwrap();
        (usage == expected).then_some(())
    })
    .await;
}
