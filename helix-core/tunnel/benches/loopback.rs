//! A tunnel against direct HTTP, on loopback, in one process.
//!
//! `cargo bench -p helix-tunnel` prints, for both, interleaved: the median time of a new
//! small request, and the throughput of one large body in each direction.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark is a program"
)]

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::Request,
    response::Response,
    routing::{get, post},
    serve::ListenerExt as _,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use helix_base::{Clock as _, Outbound, OutboundOptions, SystemClock, TaskGroup, outbound};
use helix_tunnel::{
    AcceptOptions, Agent, AgentOptions, AgentState, Hub, REVDIAL_PATH, Tunnel, Upgrade,
};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;

const BULK: usize = 1 << 30;
const CHUNK: usize = 64 << 10;
const REQUESTS: usize = 5_000;
const ROUNDS: usize = 3;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

fn now() -> Instant {
    SystemClock.now()
}

fn bulk() -> Body {
    let chunks = (0..BULK / CHUNK).map(|_| Ok::<_, Infallible>(Bytes::from_static(&ZEROS)));
    Body::from_stream(stream::iter(chunks))
}

fn router() -> Router {
    let swallow = |body: Body| async move { drain(body).await.to_string() };
    Router::new()
        .route("/small", get(|| async { "small" }))
        .route("/down", get(|| async { bulk() }))
        .route("/up", post(swallow))
}

async fn drain<B>(mut body: B) -> usize
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        total += frame.unwrap().into_data().unwrap().len();
    }
    total
}

#[derive(Clone)]
struct App {
    hub: Hub<String>,
    group: TaskGroup,
}

async fn revdial(State(app): State<App>, upgrade: Upgrade) -> Response {
    let hub = app.hub.clone();
    upgrade.accept(AcceptOptions::default(), &app.group, move |tunnel| {
        hub.insert("agent".to_owned(), tunnel);
    })
}

async fn serve(router: Router, group: &TaskGroup) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let listener = listener.tap_io(|socket| outbound::tune_socket(socket).unwrap());
    group.spawn("server", async move { axum::serve(listener, router).await });
    url
}

async fn connect(group: &TaskGroup, outbound: Outbound) -> Tunnel {
    let hub = Hub::new(group);
    let app = App {
        hub: hub.clone(),
        group: group.clone(),
    };
    let url = serve(
        Router::new()
            .route(REVDIAL_PATH, get(revdial))
            .with_state(app),
        group,
    )
    .await;
    let url = url.parse().unwrap();
    let options = AgentOptions::default();
    let agent = Agent::new(&url, "secret".into(), outbound, router(), options).unwrap();
    let mut state = agent.state();
    let inner = group.clone();
    group.spawn("agent", async move { agent.run(&inner).await });
    state
        .wait_for(|state| *state == AgentState::Connected)
        .await
        .unwrap();
    loop {
        match hub.get(&"agent".to_owned()) {
            Some(tunnel) => return tunnel,
            None => tokio::task::yield_now().await,
        }
    }
}

/// One way to reach the router.
enum Way {
    Direct(reqwest::Client, String),
    Tunnel(Tunnel),
}

impl Way {
    async fn small(&self) {
        match self {
            Self::Direct(client, url) => {
                let answer = client.get(format!("{url}/small")).send().await.unwrap();
                assert_eq!(answer.bytes().await.unwrap(), "small");
            }
            Self::Tunnel(tunnel) => {
                let request = Request::get("/small").body(Body::empty()).unwrap();
                let body = tunnel.request(request).await.unwrap().into_body();
                assert_eq!(body.collect().await.unwrap().to_bytes(), "small");
            }
        }
    }

    async fn down(&self) -> usize {
        match self {
            Self::Direct(client, url) => {
                let answer = client.get(format!("{url}/down")).send().await.unwrap();
                let lengths = answer.bytes_stream().map(|chunk| chunk.unwrap().len());
                lengths
                    .fold(0, |total, length| async move { total + length })
                    .await
            }
            Self::Tunnel(tunnel) => {
                let request = Request::get("/down").body(Body::empty()).unwrap();
                drain(tunnel.request(request).await.unwrap().into_body()).await
            }
        }
    }

    async fn up(&self) -> usize {
        let text = match self {
            Self::Direct(client, url) => {
                let body = reqwest::Body::wrap_stream(bulk().into_data_stream());
                let request = client.post(format!("{url}/up")).body(body);
                request.send().await.unwrap().text().await.unwrap()
            }
            Self::Tunnel(tunnel) => {
                let request = Request::post("/up").body(bulk()).unwrap();
                let body = tunnel.request(request).await.unwrap().into_body();
                String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
            }
        };
        text.parse().unwrap()
    }

    async fn median(&self) -> Duration {
        let mut times = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let start = now();
            self.small().await;
            times.push(now() - start);
        }
        times.sort_unstable();
        times[REQUESTS / 2]
    }
}

fn gigabits(start: Instant, bytes: usize) -> f64 {
    assert_eq!(bytes, BULK);
    bytes as f64 * 8.0 / (now() - start).as_secs_f64() / 1e9
}

async fn run() {
    let group = TaskGroup::new();
    let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
    let url = serve(router(), &group).await;
    let ways = [
        ("direct", Way::Direct(outbound.http().clone(), url)),
        ("tunnel", Way::Tunnel(connect(&group, outbound).await)),
    ];
    for (_, way) in &ways {
        way.median().await;
    }
    println!("way      new request p50   to agent Gbit/s   to server Gbit/s");
    for _ in 0..ROUNDS {
        for (name, way) in &ways {
            let median = way.median().await;
            let start = now();
            let up = gigabits(start, way.up().await);
            let start = now();
            let down = gigabits(start, way.down().await);
            println!(
                "{name}  {:>13} µs   {up:>15.1}   {down:>16.1}",
                median.as_micros()
            );
        }
    }
    group.cancel();
}

fn main() {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(run());
}
