//! What is wrong gets a clear answer, and harms nobody else.

use std::{fs, io, time::Duration};

use helix_base::TaskGroup;
use helix_proto::{model::ModelSettings, queue::Queue, runner::InstanceState};
use helix_tests::{
    Client, DatabaseKind, World,
    client::{ENDLESS, chat_body},
    eventually,
    eventually::SOON,
    world::TINY,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

const CHAT: &str = "/v1/chat/completions";

crate::on_each_database!(
    what_is_wrong_with_a_request_is_said_in_openais_shape,
    a_body_of_100_megabytes_is_refused_without_being_kept,
    a_client_that_reads_nothing_loses_its_place,
    a_full_queue_says_when_to_come_again,
    a_model_larger_than_every_device_is_refused_at_once_naming_what_is_available,
    an_engine_that_cannot_start_says_why_and_is_not_tried_for_ever,
    a_revoked_runner_is_cut_off_and_gives_up,
    a_client_that_leaves_frees_its_place,
);

/// An error in OpenAI's shape; its message.
fn message(answer: &Value) -> String {
    let error = &answer["error"];
    assert!(
        error["type"].is_string() && error.get("code").is_some(),
        "OpenAI's shape: {answer}"
    );
    error["message"]
        .as_str()
        .unwrap_or_else(|| panic!("a message: {answer}"))
        .to_owned()
}

async fn refused(client: &Client, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
    let request = client
        .request(Method::POST, CHAT)
        .header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn what_is_wrong_with_a_request_is_said_in_openais_shape(database: DatabaseKind) {
    let (world, _runner) = World::with_runner(database).await;
    let admin = &world.admin;

    let (status, answer) = refused(admin, "{\"model\": ").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    message(&answer);

    let (status, answer) = refused(admin, "{\"messages\": []}").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert!(message(&answer).contains("model"));

    let (status, answer) = admin.chat("no-such-model", "ping").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    assert!(
        message(&answer).contains(TINY),
        "it names what there is: {answer}"
    );

    let (status, answer) = admin.with_key("hx_wrong").chat(TINY, "ping").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    message(&answer);

    let (status, answer) = Client::stranger(admin.url()).chat(TINY, "ping").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");

    let (status, answer) = admin.chat(TINY, &"Hello! ".repeat(10_000)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert!(message(&answer).contains("context"), "{answer}");

    admin.ask_for_paris(TINY).await;
}

async fn a_body_of_100_megabytes_is_refused_without_being_kept(database: DatabaseKind) {
    let (mut world, _runner) = World::with_runner(database).await;
    let pid = world.server.process().pid();
    let piece = bytes::Bytes::from(vec![b' '; 1 << 20]);
    let whole = vec![b' '; 100 << 20];
    // In pieces and without a length, only counting shows how large it is.
    let pieces =
        futures_util::stream::iter((0..100).map(move |_| Ok::<_, io::Error>(piece.clone())));
    for body in [
        reqwest::Body::wrap_stream(pieces),
        reqwest::Body::from(whole),
    ] {
        let (status, answer) = refused(&world.admin, body).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
        message(&answer);
    }
    let peak = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = peak
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 250_000, "it took {peak} kB at most");
    world.admin.ask_for_paris(TINY).await;
}

async fn a_client_that_reads_nothing_loses_its_place(database: DatabaseKind) {
    let world = World::with_options(database, "[queue]\nclient_stall_ms = 1000\n").await;
    world
        .register_tiny(ModelSettings {
            parallel: 1,
            max_instances: 1,
            ..ModelSettings::default()
        })
        .await;
    let _runner = world.runner("one").await;
    // Each token comes with probabilities, so that buffers fill.
    let mut body = chat_body(TINY, ENDLESS);
    body["stream"] = true.into();
    body["logprobs"] = true.into();
    body["top_logprobs"] = 20.into();
    let body = body.to_string();
    let mut socket = connect(&world).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        world.admin.key(),
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // It holds the only place until it is thrown out; then the next is served.
    eventually("it to be at work", SOON, async || {
        let queue: Queue = world.admin.get("/api/v1/queue").await;
        if queue.running.len() == 1 {
            Ok(())
        } else {
            Err(queue)
        }
    })
    .await;
    world.admin.ask_for_paris(TINY).await;
    let mut said = Vec::new();
    // The connection is closed; what it says until then may be cut anywhere.
    let _ = tokio::time::timeout(Duration::from_secs(30), socket.read_to_end(&mut said))
        .await
        .unwrap();
    assert!(
        !String::from_utf8_lossy(&said).contains("[DONE]"),
        "the answer was not sent whole"
    );
}

async fn a_full_queue_says_when_to_come_again(database: DatabaseKind) {
    let options = "[queue]\ncapacity = 1\n";
    let world = World::with_options(database, options).await;
    world
        .register_tiny(ModelSettings {
            parallel: 1,
            max_instances: 1,
            ..ModelSettings::default()
        })
        .await;
    let _runner = world.runner("one").await;
    let busy = world.admin.endless(TINY).await;
    let tasks = TaskGroup::new();
    let admin = world.admin.clone();
    let waiting = tasks.spawn("waits", async move { admin.ask_for_paris(TINY).await });
    eventually("one to wait", SOON, async || {
        let queue: Queue = world.admin.get("/api/v1/queue").await;
        if queue.waiting.len() == 1 {
            Ok(())
        } else {
            Err(queue)
        }
    })
    .await;
    let answer = world.admin.try_post(CHAT, &chat_body(TINY, "ping")).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let retry_after: u64 = answer.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(retry_after >= 1);
    message(&answer.json().await.unwrap());
    drop(busy);
    waiting.await.unwrap().unwrap();
}

async fn a_model_larger_than_every_device_is_refused_at_once_naming_what_is_available(
    database: DatabaseKind,
) {
    let (world, _runner) = World::with_runner(database).await;
    let settings = ModelSettings {
        memory_bytes: Some(1 << 50),
        ..ModelSettings::default()
    };
    world.register("huge", &world.weights, settings).await;
    let (status, answer) = world.admin.chat("huge", "ping").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(message(&answer).contains(TINY), "{answer}");
    world.admin.ask_for_paris(TINY).await;
}

async fn an_engine_that_cannot_start_says_why_and_is_not_tried_for_ever(database: DatabaseKind) {
    let (world, runner) = World::with_runner(database).await;
    let broken = world.folder().join("broken.gguf");
    // A whole header, and no weights: it is the engine that finds out.
    let tiny = fs::read(&world.weights).unwrap();
    fs::write(&broken, &tiny[..tiny.len() / 2]).unwrap();
    let settings = ModelSettings {
        ready_timeout_ms: 20_000,
        ..ModelSettings::default()
    };
    world.register("broken", &broken, settings).await;
    let (status, answer) = world.admin.chat("broken", "ping").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    message(&answer);
    let view = world.view(runner.id).await;
    let failed = view
        .instances
        .iter()
        .find(|instance| instance.status.state == InstanceState::Failed);
    let failure = failed.and_then(|instance| instance.status.failure.as_ref());
    assert!(
        failure.is_some_and(|failure| !failure.log.is_empty()),
        "{view:?}"
    );

    let nowhere = world.folder().join("nowhere.gguf");
    world
        .register("nowhere", &nowhere, ModelSettings::default())
        .await;
    let (status, answer) = world.admin.chat("nowhere", "ping").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(message(&answer).contains("nowhere.gguf"), "{answer}");
    world.admin.ask_for_paris(TINY).await;
}

async fn a_revoked_runner_is_cut_off_and_gives_up(database: DatabaseKind) {
    let (world, mut runner) = World::with_runner(database).await;
    world.admin.ask_for_paris(TINY).await;
    let path = format!("/api/v1/runners/{}", runner.id);
    assert!(
        world
            .admin
            .request(Method::DELETE, &path)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    let status = runner.process.wait(Duration::from_secs(60)).await;
    assert!(
        !status.success(),
        "it says that it cannot go on: {}",
        runner.process.log()
    );
    assert!(
        runner.process.log().contains("the runner was deleted"),
        "{}",
        runner.process.log()
    );
    assert_eq!(world.engines(), Vec::<i32>::new());
    let (status, answer) = world.admin.chat(TINY, "ping").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    // The credential opens nothing any more, and the log says what to do.
    runner.start_again();
    eventually("the runner to say so", SOON, async || {
        let log = runner.process.log();
        if log.contains("the control plane refuses this agent's credential") {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
}

async fn a_client_that_leaves_frees_its_place(database: DatabaseKind) {
    let world = World::empty(database).await;
    world
        .register_tiny(ModelSettings {
            parallel: 1,
            max_instances: 1,
            ..ModelSettings::default()
        })
        .await;
    let _runner = world.runner("one").await;
    for _ in 0..3 {
        drop(world.admin.endless(TINY).await);
    }
    world.admin.ask_for_paris(TINY).await;
    let queue: Queue = world.admin.get("/api/v1/queue").await;
    assert_eq!(json!([queue.waiting, queue.running]), json!([[], []]));
}

/// A connection on which little is kept for a client that does not read.
async fn connect(world: &World) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let address = world.server.url().trim_start_matches("http://");
    socket.connect(address.parse().unwrap()).await.unwrap()
}
