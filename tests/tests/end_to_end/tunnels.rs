//! Runners' connections: cut in the middle of an answer, and closed with a credential.

use std::time::Duration;

use futures_util::StreamExt as _;
use helix_proto::{
    RunnerId,
    fleet::{CreatedRunner, RunnerState},
    model::ModelSettings,
    queue::Queue,
    tunnel::{RunnerTunnel, TunnelLane, TunnelState},
};
use helix_tests::{
    DatabaseKind, Line, Runner, World,
    client::{ENDLESS, chat_body},
    eventually,
    eventually::SOON,
    world::TINY,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;

crate::on_each_database!(
    an_answer_streams_exactly_once_while_the_runners_connection_is_cut_five_times,
    a_deleted_runner_loses_its_connection_within_five_seconds,
    a_runner_whose_credential_was_replaced_loses_its_connection_within_five_seconds,
);

/// Tokens of the answer, each an event of its own: it goes on for long after the last cut,
/// however late the reader is.
const TOKENS: usize = 2_400;

/// Events from one cut to the next.
const CUT_EVERY: usize = 20;

const CUTS: u64 = 5;

/// Answers until the engine was at it at every cut.
const ATTEMPTS: usize = 5;

/// What was revoked must be gone by then.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

/// A line with the demo model's control plane at one end and a runner at the other. Who
/// lets go of them in the reverse order does not leave the runner to wait for the line.
async fn with_line(database: DatabaseKind) -> (Line, World, Runner) {
    let world = World::empty(database).await;
    world.register_tiny(ModelSettings::default()).await;
    let line = Line::to(world.server.url()).await;
    let runner = world.runner_by("one", &line.url()).await;
    (line, world, runner)
}

async fn tunnel(world: &World, id: RunnerId) -> RunnerTunnel {
    let path = format!("/api/v1/runners/{id}/tunnel");
    world.admin.get(&path).await
}

/// The control lane's resumptions and bytes received.
async fn resumes(world: &World, id: RunnerId) -> (u64, u64) {
    let tunnel = tunnel(world, id).await;
    let control = tunnel.lanes.first().expect("it has a tunnel");
    assert_eq!(control.lane, TunnelLane::Control);
    (control.resumes, control.received_bytes)
}

/// Streams the answer; calls `at` with the number of events so far, after each one.
/// What was said, event by event.
async fn stream(world: &World, mut at: impl AsyncFnMut(usize)) -> Vec<Value> {
    let mut body = chat_body(TINY, ENDLESS);
    body["stream"] = true.into();
    body["max_tokens"] = TOKENS.into();
    body["seed"] = 1.into();
    // A beginning that was kept from the last time may round differently.
    body["cache_prompt"] = false.into();
    let response = world.admin.try_post("/v1/chat/completions", &body).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut bytes = response.bytes_stream();
    let (mut text, mut events) = (Vec::new(), Vec::new());
    loop {
        let next = tokio::time::timeout(SOON, bytes.next()).await;
        let Some(piece) = next.expect("something comes within a minute") else {
            panic!("ended without [DONE] after {} events", events.len());
        };
        text.extend_from_slice(&piece.unwrap());
        while let Some(end) = text.windows(2).position(|it| it == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            let event = String::from_utf8(event).unwrap();
            let Some(data) = event.trim().strip_prefix("data: ") else {
                continue;
            };
            if data == "[DONE]" {
                assert!(text.is_empty(), "something after the end");
                return events;
            }
            events.push(said(serde_json::from_str(data).unwrap()));
            at(events.len()).await;
        }
    }
}

/// An event without what differs from one answer to the next: its id, the time, and how
/// long things took.
fn said(mut event: Value) -> Value {
    let fields = event.as_object_mut().unwrap();
    for field in ["id", "created", "timings"] {
        fields.remove(field);
    }
    event
}

async fn an_answer_streams_exactly_once_while_the_runners_connection_is_cut_five_times(
    database: DatabaseKind,
) {
    let (line, world, runner) = with_line(database).await;
    let uncut = stream(&world, async |_| {}).await;
    assert!(uncut.len() >= TOKENS, "{} events", uncut.len());
    assert_eq!(resumes(&world, runner.id).await.0, 0);

    for _ in 0..ATTEMPTS {
        let in_flight = cut_five_times(&line, &world, &runner, &uncut).await;
        assert_eq!(world.view(runner.id).await.state, RunnerState::Online);
        if in_flight == CUTS {
            return;
        }
    }
    panic!("the engine was through before the last cut, {ATTEMPTS} times");
}

/// Cuts the line five times in the middle of an answer, which comes as it did uncut. At how
/// many of the cuts the engine was still at it: where the reader is late, it may be through.
async fn cut_five_times(line: &Line, world: &World, runner: &Runner, uncut: &[Value]) -> u64 {
    let before = resumes(world, runner.id).await.0;
    let (mut cuts, mut received, mut in_flight) = (0, 0, 0);
    let cut = stream(world, async |events| {
        if events % CUT_EVERY != 0 || cuts == CUTS {
            return;
        }
        let queue: Queue = world.admin.get("/api/v1/queue").await;
        in_flight += u64::from(queue.running.len() == 1);
        line.cut();
        cuts += 1;
        received = eventually(
            "the connection to be replaced",
            SOON,
            async || match resumes(world, runner.id).await {
                (resumes, received) if resumes == before + cuts => Ok(received),
                other => Err(other),
            },
        )
        .await;
    })
    .await;
    assert_eq!(cuts, CUTS);
    assert_eq!(cut, uncut, "the same answer, once");
    let (resumes, in_all) = resumes(world, runner.id).await;
    assert_eq!(resumes, before + CUTS);
    assert!(
        in_all > received || in_flight < CUTS,
        "it went on after the last cut"
    );
    in_flight
}

/// Waits until nothing is connected to the control plane over the line, and what was
/// answered has ended with an error.
async fn until_cut_off(line: &Line, answer: helix_tests::client::Answer) {
    eventually(
        "the connection to be closed",
        REVOKED_WITHIN,
        async || match line.open() {
            0 => Ok(()),
            open => Err(open),
        },
    )
    .await;
    let said = answer.to_its_end().await;
    assert!(said.contains("\"error\""), "{said}");
}

async fn a_deleted_runner_loses_its_connection_within_five_seconds(database: DatabaseKind) {
    let (line, world, runner) = with_line(database).await;
    let answer = world.admin.endless(TINY).await;
    assert_eq!(line.open(), 1);
    let path = format!("/api/v1/runners/{}", runner.id);
    let deleted = world.admin.request(Method::DELETE, &path).send().await;
    assert_eq!(deleted.unwrap().status(), StatusCode::NO_CONTENT);
    until_cut_off(&line, answer).await;
    let gone = world.admin.request(Method::GET, &path).send().await;
    assert_eq!(gone.unwrap().status(), StatusCode::NOT_FOUND);
}

async fn a_runner_whose_credential_was_replaced_loses_its_connection_within_five_seconds(
    database: DatabaseKind,
) {
    let (line, world, runner) = with_line(database).await;
    let answer = world.admin.endless(TINY).await;
    let path = format!("/api/v1/runners/{}/credential", runner.id);
    let _: CreatedRunner = world.admin.post(&path, &()).await;
    until_cut_off(&line, answer).await;
    let ended = tunnel(&world, runner.id).await;
    assert_eq!(ended.state, TunnelState::Disconnected);
    let why = ended.last_close.expect("it says why");
    assert_eq!(why.code, Some(4003), "{why:?}");
    assert!(ended.last_close_at_ms.is_some());
    assert_eq!(world.view(runner.id).await.state, RunnerState::Offline);
}
