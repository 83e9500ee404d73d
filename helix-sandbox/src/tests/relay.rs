use std::time::Duration;

use axum::{
    Json, Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
    routing::{get, post},
};
use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::TaskGroup;
use helix_isolation::FoundState;
use helix_tunnel::{AcceptOptions, Holder, Hub, Lane, Tunnel, Upgrade};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_tungstenite::tungstenite::{Message, protocol::WebSocketConfig};
use url::Url;

use super::{Site, bytes};
use crate::mock::spec;

fn request(method: &str, uri: String) -> http::request::Builder {
    Request::builder().method(method).uri(uri)
}

#[tokio::test(start_paused = true)]
async fn requests_reach_what_runs_inside_with_their_path_query_and_body() {
    let site = Site::new().await;
    let id = site.running(&spec(1)).await;
    let base = format!("/host/v1/sandboxes/{id}/guest");
    let body = Body::from("{\"command\":[\"true\"]}");
    let post = request("POST", format!("{base}/exec?x=%2F"))
        .body(body)
        .unwrap();
    let answer = site.send(post).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(bytes(answer).await, "{\"command\":[\"true\"]}");
    let missing = site.send(
        request("GET", format!("{base}/nope"))
            .body(Body::empty())
            .unwrap(),
    );
    assert_eq!(missing.await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_run_says_what_to_do() {
    let site = Site::new().await;
    let id = site.running(&spec(1)).await;
    let path = format!("sandboxes/{id}/guest/exec");
    site.handle.pause(id).await.unwrap();
    let (status, why) = site.fails("POST", &path).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(why.ends_with("is paused: resume it first"), "{why}");
    site.handle.stop(id).await.unwrap();
    let (_, why) = site.fails("POST", &path).await;
    assert!(why.ends_with("is stopped: start it first"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn requests_at_a_time_are_bounded_and_each_is_a_use() {
    let site = Site::with(|options| {
        options.relay.requests = 1;
        options.relay.response_timeout = Duration::from_secs(5);
    })
    .await;
    let mut own = spec(1);
    own.idle_timeout_ms = Some(60_000);
    let id = site.running(&own).await;
    let base = format!("/host/v1/sandboxes/{id}/guest");
    let content = async || {
        let get = request("GET", format!("{base}/files/content"));
        site.send(get.body(Body::empty()).unwrap()).await
    };
    let first = content().await;
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(content().await.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(first);
    assert_eq!(content().await.status(), StatusCode::OK);
    let slow = site.send(
        request("GET", format!("{base}/forever"))
            .body(Body::empty())
            .unwrap(),
    );
    assert_eq!(slow.await.status(), StatusCode::GATEWAY_TIMEOUT);
    let sandbox = site.mock.get(id).unwrap();
    assert_eq!(*sandbox.state.borrow(), FoundState::Running);
}

/// A control plane as far as a host needs one.
async fn control_plane(tasks: &TaskGroup) -> (Url, mpsc::Receiver<Tunnel>) {
    let (connected, tunnels) = mpsc::channel(1);
    let hub: Hub<String> = Hub::new(AcceptOptions::default(), tasks);
    let joined = async |Json(request): Json<serde_json::Value>| {
        assert_eq!(request["token"], "hxj_1");
        Json(serde_json::json!({ "id": "sbh_1", "name": request["name"], "credential": "hxs_1" }))
    };
    let revdial = async move |headers: HeaderMap, upgrade: Upgrade| {
        assert_eq!(headers["authorization"], "Bearer hxs_1");
        let holder = Holder::new("host".to_owned(), "hxs_1");
        upgrade.accept(&hub, holder, move |tunnel| drop(connected.try_send(tunnel)))
    };
    let router = Router::new()
        .route("/api/v1/sandbox-hosts/join", post(joined))
        .route(helix_tunnel::REVDIAL_PATH, get(revdial));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tasks.spawn("control plane", async move {
        axum::serve(listener, router).await.unwrap();
    });
    (url.parse().unwrap(), tunnels)
}

#[tokio::test]
async fn a_host_joins_and_a_websocket_reaches_a_sandbox_through_its_tunnel() {
    let tasks = TaskGroup::new();
    let (url, mut tunnels) = control_plane(&tasks).await;
    let site = Site::with(|options| {
        options.server = Some(url);
        options.join_token = Some("hxj_1".to_owned().into());
    })
    .await;
    let id = site.running(&spec(1)).await;
    let (host, mock) = (site.host, site.mock);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tasks.spawn("host", async move {
        let stop = async { drop(stopped.await) };
        host.run(stop).await
    });
    let tunnel = tunnels.recv().await.unwrap();
    let path = format!("/host/v1/sandboxes/{id}/guest/attach");
    let mut headers = HeaderMap::new();
    headers.insert("sec-websocket-protocol", "echo".parse().unwrap());
    let config = WebSocketConfig::default();
    let opened = tunnel.websocket(Lane::Control, &path, headers, config);
    let mut socket = opened.await.unwrap().into_body();
    for message in [Message::text("héllo"), Message::binary(vec![7; 100_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    drop(stop);
    running.await.unwrap().unwrap().unwrap();
    assert!(
        mock.get(id).is_some(),
        "the sandbox goes on without its host"
    );
}
