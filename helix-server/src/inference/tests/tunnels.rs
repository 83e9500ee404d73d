//! Connections of runners that break and are replaced, or are not.

use std::{sync::Arc, time::Duration};

use helix_proto::{
    RunnerId,
    fleet::RunnerState,
    tunnel::{RunnerTunnel, TunnelLane, TunnelLaneState, TunnelState},
};
use http::StatusCode;

use super::{ASK, GIB, STREAM, Scene, Stream, eventually, pong, text};

impl Scene {
    async fn tunnel(&self, id: RunnerId) -> RunnerTunnel {
        let path = format!("/api/v1/runners/{id}/tunnel");
        let response = self.call("GET", &path, &[], "").await;
        assert_eq!(response.status(), StatusCode::OK);
        serde_json::from_str(&text(response).await).unwrap()
    }

    fn state(&self, id: RunnerId) -> RunnerState {
        self.app.fleet().runner(id).unwrap().state()
    }

    async fn metrics(&self) -> String {
        text(self.call("GET", "/metrics", &[], "").await).await
    }

    fn reasons(&self) -> Vec<String> {
        let waiting = self.app.inference().queue().waiting;
        waiting.into_iter().map(|request| request.reason).collect()
    }
}

#[tokio::test]
async fn an_answer_goes_on_over_a_new_connection_and_what_comes_meanwhile_waits_and_is_told_why() {
    let scene = Scene::new().await;
    let stream = Stream::new();
    let (id, runner) = scene.runner(8 * GIB, Arc::clone(&stream.script)).await;
    scene.model("tiny", |_| ()).await;
    let response = scene.chat(STREAM).await;
    stream.say("data: 1\n\n").await;
    runner.answers(pong());
    runner.cut();
    eventually(|| scene.state(id) == RunnerState::Reconnecting).await;
    let cut = scene.tunnel(id).await;
    assert_eq!(cut.state, TunnelState::Reconnecting);
    assert_eq!(cut.lanes[0].lane, TunnelLane::Control);
    assert_eq!(cut.lanes[0].state, TunnelLaneState::Resuming);
    assert!(cut.last_close.is_some());
    assert_eq!(cut.last_close_at_ms, cut.changed_at_ms);
    assert_eq!(scene.running(), 1, "what is under way stays");

    let waits = scene.chat(ASK);
    tokio::pin!(waits);
    let restored = async {
        let why = "the connection to scripted is being restored";
        eventually(|| scene.reasons() == [why]).await;
        assert_eq!(runner.asked().len(), 1, "nothing new was sent");
        runner.mend();
    };
    let (answer, ()) = tokio::join!(&mut waits, restored);
    assert_eq!(text(answer).await, r#"{"answer":"pong"}"#);
    stream.say("data: [DONE]\n\n").await;
    drop(stream);
    assert_eq!(text(response).await, "data: 1\n\ndata: [DONE]\n\n");
    let whole = scene.tunnel(id).await;
    assert_eq!(whole.state, TunnelState::Connected);
    assert_eq!(whole.lanes[0].resumes, 1);
    assert!(whole.lanes[0].received_bytes > 0 && whole.lanes[0].sent_bytes > 0);
    assert_eq!(scene.state(id), RunnerState::Online);
}

#[tokio::test]
async fn another_runner_serves_while_one_is_reconnecting() {
    let scene = Scene::new().await;
    let (id, first) = scene.runner(8 * GIB, pong()).await;
    scene.model("tiny", |_| ()).await;
    first.cut();
    eventually(|| scene.state(id) == RunnerState::Reconnecting).await;
    let (_, second) = scene.runner(8 * GIB, pong()).await;
    assert_eq!(scene.chat(ASK).await.status(), StatusCode::OK);
    assert_eq!((first.asked().len(), second.asked().len()), (0, 1));
}

#[tokio::test]
async fn a_runner_that_does_not_come_back_within_the_grace_is_shown_with_when_and_why() {
    let scene = Scene::with(|options| options.tunnel.grace = Duration::from_millis(200)).await;
    let (id, runner) = scene.runner(8 * GIB, pong()).await;
    runner.cut();
    eventually(|| scene.state(id) == RunnerState::Offline).await;
    let gone = scene.tunnel(id).await;
    assert_eq!(gone.state, TunnelState::Disconnected);
    assert_eq!(gone.lanes, []);
    let why = gone.last_close.unwrap().reason;
    assert!(why.contains("not replaced within 0.2 s"), "{why}");
    assert!(gone.last_close_at_ms.is_some() && gone.last_close_at_ms == gone.changed_at_ms);
    runner.mend();
    eventually(|| scene.state(id) == RunnerState::Online).await;
    let back = scene.tunnel(id).await;
    assert_eq!(back.last_close.unwrap().reason, why, "it is remembered");
}

#[tokio::test]
async fn a_runner_that_never_connected_has_a_tunnel_without_a_past() {
    let scene = Scene::new().await;
    let id = scene.app.foundation().ids.next();
    let stored = crate::store::runners::StoredRunner::new(id, "new".into(), 1);
    scene.app.fleet().register(stored, "a hash").await.unwrap();
    let never = RunnerTunnel {
        state: TunnelState::Disconnected,
        changed_at_ms: None,
        lanes: Vec::new(),
        last_close: None,
        last_close_at_ms: None,
    };
    assert_eq!(scene.tunnel(id).await, never);
}

#[tokio::test]
async fn metrics_tell_of_each_lane_of_a_registered_runner_and_of_no_deleted_one() {
    let scene = Scene::new().await;
    let (id, runner) = scene.runner(8 * GIB, pong()).await;
    runner.cut();
    eventually(|| scene.state(id) == RunnerState::Reconnecting).await;
    let metrics = scene.metrics().await;
    for line in [
        format!("helix_tunnel_up{{runner=\"{id}\"}} 0"),
        format!("helix_tunnel_lane_state{{runner=\"{id}\",lane=\"control\",state=\"resuming\"}} 1"),
        format!("helix_tunnel_resumes_total{{runner=\"{id}\",lane=\"media\"}} 0"),
        format!("helix_tunnel_last_close{{runner=\"{id}\",lane=\"control\",why=\"lost\"}} 1"),
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
    }
    runner.mend();
    eventually(|| scene.state(id) == RunnerState::Online).await;
    let up = format!("helix_tunnel_up{{runner=\"{id}\"}} 1");
    assert!(scene.metrics().await.contains(&up));
    scene.app.fleet().remove(id).await.unwrap();
    assert!(!scene.metrics().await.contains(&id.to_string()));
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_by_name() {
    let data = tempfile::tempdir().unwrap();
    let options = |grace_s: u64, heartbeat_ms| crate::Options {
        data_dir: data.path().to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        tunnel: crate::options::TunnelOptions {
            grace: Duration::from_secs(grace_s),
            heartbeat_interval: Duration::from_millis(heartbeat_ms),
        },
        ..crate::Options::default()
    };
    for (options, named) in [
        (options(3_601, 5_000), "tunnel.grace_ms"),
        (options(60, 15_001), "tunnel.heartbeat_interval_ms"),
        (options(60, 0), "tunnel.heartbeat_interval_ms"),
    ] {
        let error = crate::Server::build(options).await.unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}
