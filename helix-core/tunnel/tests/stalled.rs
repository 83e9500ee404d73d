//! Readers that stall: they must not freeze the others on the connection.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    dead_code,
    reason = "each test binary uses its part of the support code"
)]

mod support;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::Request,
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{future::join_all, stream};
use helix_tunnel::{Body as Arriving, Error, Limits, Tunnel};
use http_body_util::BodyExt as _;
use support::{Over, Site, accept_options, agent_options, get_request, soon};
use tokio::sync::Notify;

async fn endless() -> Body {
    Body::from_stream(stream::repeat_with(|| {
        Ok::<_, Infallible>(Bytes::from_static(&[0; 16 << 10]))
    }))
}

async fn piece() -> Vec<u8> {
    vec![7; 200 << 10]
}

/// Eight stalled bodies are left alone.
fn tight() -> Limits {
    Limits {
        stream_window: 64 << 10,
        connection_window: 1 << 20,
        stall_grace: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// Opens bodies that fill their windows, and does not read them.
async fn stall(tunnel: &Tunnel, count: usize) -> Vec<Arriving> {
    let opened = join_all((0..count).map(|_| tunnel.request(get_request("/endless"))));
    soon(opened)
        .await
        .into_iter()
        .map(|response| response.unwrap().into_body())
        .collect()
}

async fn others_are_served(tunnel: &Tunnel) {
    let answers = join_all((0..20).map(|_| async {
        let response = tunnel.request(get_request("/piece")).await.unwrap();
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .len()
    }));
    assert_eq!(soon(answers).await, [200 << 10; 20]);
}

#[tokio::test]
async fn a_few_stalled_readers_are_left_alone_and_the_others_are_served() {
    for over in [Over::Memory, Over::WebSocket] {
        let site = Site::start(over, accept_options(tight())).await;
        let router = Router::new()
            .route("/endless", get(endless))
            .route("/piece", get(piece));
        let (_agent, tunnel) = site.connected("a", router).await;
        let stalled = stall(&tunnel, 8).await;
        for _ in 0..5 {
            others_are_served(&tunnel).await;
        }
        for mut body in stalled {
            soon(body.frame()).await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn where_too_many_stall_the_surplus_is_reset_and_the_others_are_served() {
    let site = Site::start(Over::WebSocket, accept_options(tight())).await;
    let router = Router::new()
        .route("/endless", get(endless))
        .route("/piece", get(piece));
    let (_agent, tunnel) = site.connected("a", router).await;
    // More than the whole window of the connection.
    let stalled = stall(&tunnel, 40).await;
    others_are_served(&tunnel).await;
    let mut given_up = 0;
    for mut body in stalled {
        if let Some(Err(error)) = soon(body.frame()).await {
            assert!(matches!(error, Error::Stalled), "{error:?}");
            assert!(soon(body.frame()).await.is_none());
            given_up += 1;
        }
    }
    assert_eq!(given_up, 32);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_for_too_long_is_given_up() {
    let limits = Limits {
        stall_timeout: Duration::from_millis(500),
        ..tight()
    };
    let site = Site::start(Over::Memory, accept_options(limits)).await;
    let router = Router::new().route("/endless", get(endless));
    let (_agent, tunnel) = site.connected("a", router).await;
    let stalled = stall(&tunnel, 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let [mut body] = <[_; 1]>::try_from(stalled).unwrap();
    let error = soon(body.frame()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Stalled));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_read_to_its_end_may_be_kept() {
    let limits = Limits {
        stall_timeout: Duration::from_millis(500),
        ..tight()
    };
    let site = Site::start(Over::Memory, accept_options(limits)).await;
    let router = Router::new().route("/", get(|| async { "whole" }));
    let (_agent, tunnel) = site.connected("a", router).await;
    let mut body = soon(tunnel.request(get_request("/")))
        .await
        .unwrap()
        .into_body();
    let frame = soon(body.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "whole");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(soon(body.frame()).await.is_none());
}

#[tokio::test]
async fn uploads_that_a_handler_does_not_read_do_not_freeze_others() {
    let release = Arc::new(Notify::new());
    let held = Arc::clone(&release);
    let holds = move |request: Request<Body>| {
        let held = Arc::clone(&held);
        async move {
            held.notified().await;
            drop(request);
        }
    };
    let reads = |body: Body| async move {
        let length = body.collect().await.unwrap().to_bytes().len();
        length.to_string()
    };
    let router = Router::new()
        .route("/holds", post(holds))
        .route("/reads", post(reads));
    let site = Site::start(Over::WebSocket, accept_options(Limits::default())).await;
    let options = helix_tunnel::AgentOptions {
        limits: tight(),
        ..agent_options()
    };
    let mut agent = support::RunningAgent::start(site.dial("a"), router, options);
    agent
        .wait_for(|state| *state == helix_tunnel::AgentState::Connected)
        .await;
    let tunnel = site.tunnel("a").await;
    let upload = |path: &str| {
        let body = Body::from_stream(stream::iter(
            (0..40).map(|_| Ok::<_, Infallible>(Bytes::from_static(&[0; 8 << 10]))),
        ));
        tunnel.request(Request::post(path).body(body).unwrap())
    };
    let mut holding: Vec<_> = (0..40).map(|_| Box::pin(upload("/holds"))).collect();
    tokio::select! {
        biased;
        _ = join_all(holding.iter_mut()) => panic!("they are held"),
        answers = soon(join_all((0..10).map(|_| upload("/reads")))) => {
            for answer in answers {
                let bytes = answer.unwrap().into_body().collect().await.unwrap().to_bytes();
                assert_eq!(bytes, (320 << 10).to_string());
            }
        }
    }
    release.notify_waiters();
}
