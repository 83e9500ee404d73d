//! Requests over a tunnel: whatever HTTP can do, over memory and over real WebSockets.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    dead_code,
    reason = "each test binary uses its part of the support code"
)]

mod support;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, Request, StatusCode},
    response::sse::{Event, Sse},
    routing::{any, get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream};
use helix_base::{Retry as _, Retryability};
use helix_tunnel::{AcceptOptions, CloseCode, CloseReason, Error, Limits};
use http_body_util::BodyExt as _;
use support::{Over, Site, accept_options, get_request, pattern, soon, text};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// One test per transport.
macro_rules! over_both {
    ($(async fn $name:ident($over:ident) $body:block)*) => { $(
        mod $name {
            use super::*;

            async fn run($over: Over) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory() { run(Over::Memory).await; }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn websocket() { run(Over::WebSocket).await; }
        }
    )* };
}

async fn site(over: Over) -> Site {
    Site::start(over, AcceptOptions::default()).await
}

/// A body that the test feeds.
fn fed(receiver: mpsc::Receiver<&'static str>) -> Body {
    let chunks = stream::unfold(receiver, |mut receiver| async move {
        Some((Ok::<_, Infallible>(receiver.recv().await?), receiver))
    });
    Body::from_stream(chunks)
}

/// A route whose body the test feeds; once.
fn fed_route() -> (mpsc::Sender<&'static str>, Router) {
    let (sender, receiver) = mpsc::channel(16);
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let handler = move || {
        let receiver = receiver.lock().unwrap().take().unwrap();
        async move { fed(receiver) }
    };
    (sender, Router::new().route("/fed", get(handler)))
}

over_both! {
    async fn method_path_headers_and_body_arrive_and_come_back(over) {
        let echo = |request: Request<Body>| async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let line = format!("{} {} ", parts.method, parts.uri.path_and_query().unwrap());
            let answer = [line.as_bytes(), &body].concat();
            ([("x-answer", parts.headers["x-question"].clone())], answer)
        };
        let site = site(over).await;
        let (_agent, tunnel) = site.connected("a", Router::new().fallback(any(echo))).await;
        let request = Request::put("/a/b?c=d").header("x-question", "42").body("body".to_owned());
        let response = soon(tunnel.request(request.unwrap())).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["x-answer"], "42");
        assert_eq!(text(response).await, "PUT /a/b?c=d body");
        assert!(tunnel.round_trip().is_some());
    }

    async fn server_sent_events_arrive_one_by_one(over) {
        let (sender, receiver) = mpsc::channel::<&str>(4);
        let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
        let events = move || {
            let receiver = receiver.lock().unwrap().take().unwrap();
            async move {
                Sse::new(stream::unfold(receiver, |mut receiver| async move {
                    let event = Event::default().data(receiver.recv().await?);
                    Some((Ok::<_, Infallible>(event), receiver))
                }))
            }
        };
        let site = site(over).await;
        let (_agent, tunnel) = site.connected("a", Router::new().route("/sse", get(events))).await;
        let response = soon(tunnel.request(get_request("/sse"))).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        for word in ["one", "two", "three"] {
            sender.send(word).await.unwrap();
            let frame = soon(body.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), format!("data: {word}\n\n"));
        }
        drop(sender);
        assert_eq!(soon(body.collect()).await.unwrap().to_bytes(), "");
    }

    async fn up_to_sixty_four_mebibytes_go_up_and_down_byte_exact(over) {
        const CHUNK: usize = 192 << 10;
        let total: usize = if over == Over::WebSocket { 64 << 20 } else { 8 << 20 };
        let big = move || {
            let offsets = stream::iter((0..total).step_by(CHUNK));
            Body::from_stream(offsets.map(move |offset| {
                Ok::<_, Infallible>(pattern(offset, CHUNK.min(total - offset)))
            }))
        };
        async fn check<B>(mut body: B) -> usize
        where
            B: http_body::Body<Data = Bytes> + Unpin,
            B::Error: std::fmt::Debug,
        {
            let (mut offset, mut rest) = (0, Vec::new());
            while let Some(frame) = soon(body.frame()).await {
                rest.extend_from_slice(&frame.unwrap().into_data().unwrap());
                let whole = rest.len() / 8 * 8;
                assert_eq!(rest[..whole], pattern(offset, whole));
                rest.drain(..whole);
                offset += whole;
            }
            offset
        }
        let upload = |body: Body| async move { check(body).await.to_string() };
        let router =
            Router::new().route("/down", get(move || async move { big() })).route("/up", post(upload));
        let site = site(over).await;
        let (_agent, tunnel) = site.connected("a", router).await;
        let response = soon(tunnel.request(get_request("/down"))).await.unwrap();
        assert_eq!(check(response.into_body()).await, total);
        let request = Request::post("/up").body(big()).unwrap();
        let response = soon(tunnel.request(request)).await.unwrap();
        assert_eq!(text(response).await, total.to_string());
    }

    async fn five_hundred_requests_at_a_time_get_their_own_answers(over) {
        let route = get(|Path(number): Path<usize>| async move { number.to_string() });
        let site = site(over).await;
        let (_agent, tunnel) = site.connected("a", Router::new().route("/{number}", route)).await;
        let answers = join_all((0..500).map(|number| {
            let tunnel = tunnel.clone();
            async move {
                let response = tunnel.request(get_request(&format!("/{number}"))).await.unwrap();
                (number.to_string(), text(response).await)
            }
        }));
        for (asked, answered) in soon(answers).await {
            assert_eq!(asked, answered);
        }
        assert_eq!(tunnel.in_flight(), 0);
    }

    async fn dropping_a_response_body_cancels_the_handlers_work(over) {
        let cancelled = CancellationToken::new();
        let token = cancelled.clone();
        let endless = move || {
            let guard = token.clone().drop_guard();
            async move {
                Body::from_stream(stream::repeat_with(move || {
                    let _held = &guard;
                    Ok::<_, Infallible>("more")
                }))
            }
        };
        let site = site(over).await;
        let (_agent, tunnel) = site.connected("a", Router::new().route("/", get(endless))).await;
        let mut response = soon(tunnel.request(get_request("/"))).await.unwrap();
        soon(response.body_mut().frame()).await.unwrap().unwrap();
        assert!(!cancelled.is_cancelled());
        drop(response);
        soon(cancelled.cancelled()).await;
        assert_eq!(tunnel.in_flight(), 0);
    }

    async fn dropping_a_response_body_cancels_an_upload_that_never_ends(over) {
        let cancelled = CancellationToken::new();
        let token = cancelled.clone();
        let router = Router::new().route("/swallow", post(async move |body: Body| {
            let guard = token.drop_guard();
            let swallowed = body.into_data_stream().map(move |piece| {
                let _held = &guard;
                piece.map(|piece| Bytes::from(piece.len().to_string()))
            });
            Body::from_stream(swallowed)
        }));
        let site = site(over).await;
        let (_agent, tunnel) = site.connected("a", router).await;
        let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[7; 4096])));
        let request = Request::post("/swallow").body(Body::from_stream(endless)).unwrap();
        let mut body = soon(tunnel.request(request)).await.unwrap().into_body();
        soon(body.frame()).await.unwrap().unwrap();
        drop(body);
        soon(cancelled.cancelled()).await;
    }

    async fn dropping_a_request_that_waits_for_headers_cancels_the_handler(over) {
        let (started, cancelled) = (CancellationToken::new(), CancellationToken::new());
        let tokens = (started.clone(), cancelled.clone());
        let stuck = move || {
            let (started, cancelled) = tokens.clone();
            async move {
                let _guard = cancelled.drop_guard();
                started.cancel();
                std::future::pending::<()>().await;
            }
        };
        let site = site(over).await;
        let (_agent, tunnel) = site.connected("a", Router::new().route("/", get(stuck))).await;
        let mut request = Box::pin(tunnel.request(get_request("/")));
        tokio::select! {
            _ = &mut request => panic!("the handler never answers"),
            () = soon(started.cancelled()) => {}
        }
        assert_eq!(tunnel.in_flight(), 1);
        drop(request);
        soon(cancelled.cancelled()).await;
        assert_eq!(tunnel.in_flight(), 0);
    }

    async fn bursts_of_cancelled_requests_leave_the_connection_whole(over) {
        let endless = || async {
            Body::from_stream(stream::repeat_with(|| {
                Ok::<_, Infallible>(Bytes::from_static(&[0; 16 << 10]))
            }))
        };
        let router = Router::new()
            .route("/endless", get(endless))
            .route("/quick", get(|| async { "quick" }));
        let site = site(over).await;
        let (_agent, tunnel) = site.connected("a", router).await;
        for _ in 0..30 {
            // Cancelled in the middle of their bodies, with data on the way,
            let begun = join_all((0..150).map(|_| tunnel.request(get_request("/endless"))));
            let answers = soon(begun).await;
            for answer in &answers {
                assert!(answer.is_ok(), "{answer:?}");
            }
            drop(answers);
            // and cancelled as soon as they were sent.
            let mut unsent: Vec<_> =
                (0..150).map(|_| Box::pin(tunnel.request(get_request("/endless")))).collect();
            for request in &mut unsent {
                // Where this thread is held up, the answer is there by now.
                let now = futures_util::poll!(request);
                assert!(!matches!(now, Poll::Ready(Err(_))), "{now:?}");
            }
        }
        let response = soon(tunnel.request(get_request("/quick"))).await.unwrap();
        assert_eq!(text(response).await, "quick");
    }

    async fn one_request_too_many_is_refused_at_once_and_may_be_tried_again(over) {
        let (sender, router) = fed_route();
        let limits = Limits { max_requests: 1, ..Limits::default() };
        let site = Site::start(over, accept_options(limits)).await;
        let router = router.route("/quick", get(|| async { "quick" }));
        let (_agent, tunnel) = site.connected("a", router).await;
        let response = soon(tunnel.request(get_request("/fed"))).await.unwrap();
        let error = soon(tunnel.request(get_request("/quick"))).await.unwrap_err();
        assert!(matches!(error, Error::Busy { limit: 1 }));
        assert!(error.retryability().is_retryable());
        sender.send("done").await.unwrap();
        drop(sender);
        assert_eq!(text(response).await, "done");
        let response = soon(tunnel.request(get_request("/quick"))).await.unwrap();
        assert_eq!(text(response).await, "quick");
    }

    async fn a_limit_on_waiting_for_headers_is_kept_and_bodies_have_none(over) {
        let (sender, router) = fed_route();
        let router = router.route("/stuck", get(std::future::pending::<()>));
        let after = Duration::from_millis(200);
        let options = AcceptOptions { headers_timeout: Some(after), ..AcceptOptions::default() };
        let site = Site::start(over, options).await;
        let (_agent, tunnel) = site.connected("a", router).await;
        let response = soon(tunnel.request(get_request("/fed"))).await.unwrap();
        let error = soon(tunnel.request(get_request("/stuck"))).await.unwrap_err();
        assert!(matches!(error, Error::HeadersTimeout { .. }));
        assert_eq!(error.retryability(), Retryability::Transient);
        sender.send("later").await.unwrap();
        drop(sender);
        assert_eq!(text(response).await, "later");
    }

    async fn a_body_that_nobody_reads_holds_back_its_writer(over) {
        let limits = Limits { stream_window: 64 << 10, ..Limits::default() };
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let endless = move || {
            let count = Arc::clone(&count);
            async move {
                Body::from_stream(stream::repeat_with(move || {
                    count.fetch_add(16 << 10, Ordering::Relaxed);
                    Ok::<_, Infallible>(Bytes::from_static(&[0; 16 << 10]))
                }))
            }
        };
        let router = Router::new()
            .route("/endless", get(endless))
            .route("/quick", get(|| async { "quick" }));
        let site = Site::start(over, accept_options(limits)).await;
        let (_agent, tunnel) = site.connected("a", router).await;
        let _unread = soon(tunnel.request(get_request("/endless"))).await.unwrap();
        for _ in 0..200 {
            let response = soon(tunnel.request(get_request("/quick"))).await.unwrap();
            assert_eq!(text(response).await, "quick");
        }
        // The window, and what the agent's side buffers for sending.
        let held = made.load(Ordering::Relaxed);
        assert!((64 << 10..1 << 20).contains(&held), "{held}");
    }

    async fn while_an_agent_shuts_down_its_requests_finish_and_then_it_says_goodbye(over) {
        let (sender, router) = fed_route();
        let site = site(over).await;
        let (agent, tunnel) = site.connected("a", router).await;
        let response = soon(tunnel.request(get_request("/fed"))).await.unwrap();
        let group = agent.group.clone();
        let shutdown = site.group.spawn("shutdown", async move {
            group.shutdown(Duration::from_secs(20)).await
        });
        soon(agent.group.draining()).await;
        for word in ["all ", "of ", "it"] {
            sender.send(word).await.unwrap();
        }
        drop(sender);
        assert_eq!(text(response).await, "all of it");
        let reason = soon(tunnel.closed()).await;
        assert_eq!(reason.code(), Some(CloseCode::GOING_AWAY), "{reason}");
        assert!(matches!(reason, CloseReason::Peer { .. }));
        assert_eq!(soon(shutdown).await.unwrap().unwrap().aborted, Vec::<&str>::new());
    }

    async fn while_the_control_plane_shuts_down_requests_finish_and_new_ones_are_refused(over) {
        let (sender, router) = fed_route();
        let site = site(over).await;
        let (_agent, tunnel) = site.connected("a", router).await;
        let response = soon(tunnel.request(get_request("/fed"))).await.unwrap();
        let group = site.group.clone();
        let outside = helix_base::TaskGroup::new();
        let shutdown = outside.spawn("shutdown", async move {
            group.shutdown(Duration::from_secs(20)).await
        });
        soon(async {
            while !matches!(tunnel.request(get_request("/x")).await, Err(Error::Draining)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        sender.send("all of it").await.unwrap();
        drop(sender);
        assert_eq!(text(response).await, "all of it");
        let reason = soon(tunnel.closed()).await;
        assert_eq!(reason.code(), Some(CloseCode::GOING_AWAY), "{reason}");
        assert_eq!(soon(shutdown).await.unwrap().unwrap().aborted, Vec::<&str>::new());
    }

    async fn a_tunnel_that_nobody_holds_closes_normally(over) {
        let (sender, router) = fed_route();
        let site = site(over).await;
        let agent = site.patient_agent("a", router);
        let (mut agent, tunnel) = site.once_connected("a", agent).await;
        let response = soon(tunnel.request(get_request("/fed"))).await.unwrap();
        sender.send("a body outlives the handle").await.unwrap();
        drop((sender, tunnel));
        assert_eq!(text(response).await, "a body outlives the handle");
        assert!(site.hub.close(&"a".to_owned(), CloseCode::NORMAL, "done"));
        agent.wait_for(|state| matches!(state, helix_tunnel::AgentState::Waiting { reason, .. }
            if reason.contains("done (1000)"))).await;
    }

    async fn headers_beyond_the_limit_are_an_error_of_one_request(over) {
        let big = |headers: HeaderMap| async move { headers.len().to_string() };
        let site = site(over).await;
        let (_agent, tunnel) = site.connected("a", Router::new().route("/", get(big))).await;
        let request = Request::get("/").header("x-big", "x".repeat(200 << 10));
        let answer = soon(tunnel.request(request.body(Body::empty()).unwrap())).await;
        let status = answer.map(|response| response.status());
        assert!(
            matches!(status, Ok(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) | Err(_)),
            "{status:?}"
        );
        let response = soon(tunnel.request(get_request("/"))).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}
