//! The end of the tunnel that dials: a router behind it, and the same router on a
//! port of its own for those who come without a tunnel.

use std::{convert::Infallible, net::Ipv4Addr, ops::Range};

use anyhow::Context as _;
use axum::{
    Router,
    body::Body,
    extract::Path,
    routing::{get, post},
    serve::ListenerExt as _,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use helix_base::{Outbound, OutboundOptions, TaskGroup, outbound};
use helix_tunnel::{Agent, AgentOptions, Forward};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;

use crate::{backend, now, pattern};

/// Runs these agents; their numbers are their credentials.
pub(crate) async fn run(server: u16, http: u16, numbers: Range<u64>) -> anyhow::Result<()> {
    let tasks = TaskGroup::new();
    let url = format!("http://127.0.0.1:{server}").parse()?;
    let outbound = Outbound::new(&OutboundOptions::default())?;
    for number in numbers {
        let agent = Agent::new(
            &url,
            number.to_string().into(),
            outbound.clone(),
            router(),
            AgentOptions::default(),
        )?
        .with_forward(Forward::where_allowed(|_| true));
        let inner = tasks.clone();
        tasks.spawn("agent", async move { agent.run(&inner).await });
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, http))
        .await
        .context("listening for direct requests")?;
    let listener = listener.tap_io(|socket| {
        // A socket that is gone already fails by itself.
        let _ = outbound::tune_socket(socket);
    });
    axum::serve(listener, router()).await.context("serving")
}

fn router() -> Router {
    Router::new()
        .route("/small", get(|| async { "s" }))
        .route("/down", get(|| async { Body::from_stream(endless()) }))
        .route("/up", post(|body: Body| async { counted(body) }))
        .route("/echo", post(|body: Body| async { body }))
        .route("/hold", get(|| async { held() }))
        .route("/exact/{bytes}", get(exact))
}

/// Chunks without end.
pub(crate) fn endless() -> impl stream::Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::repeat_with(|| Ok(pattern::chunk()))
}

fn held() -> Body {
    let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"data: 1\n\n")) });
    Body::from_stream(first.chain(stream::pending()))
}

async fn exact(Path(total): Path<u64>) -> Body {
    Body::from_stream(stream::unfold(0, move |index| async move {
        let chunk = pattern::numbered(index, total);
        (!chunk.is_empty()).then_some((Ok::<_, Infallible>(chunk), index + 1))
    }))
}

/// How much of a body came, now and then.
fn counted(body: Body) -> Body {
    let start = (body, 0_u64, now());
    Body::from_stream(stream::unfold(
        start,
        |(mut body, mut total, mut told)| async move {
            loop {
                let frame = body.frame().await?.ok()?;
                total += frame.data_ref().map_or(0, Bytes::len) as u64;
                if told.elapsed() >= backend::TOLD_EVERY {
                    told = now();
                    let count = Bytes::copy_from_slice(&total.to_le_bytes());
                    return Some((Ok::<_, Infallible>(count), (body, total, told)));
                }
            }
        },
    ))
}
