//! A load generator for benchmarks: some connections, each with one request
//! after the other, all of them alike.
//!
//! `bench-load ADDRESS PATH KEY CONNECTIONS SECONDS BODY` prints one JSON object:
//! requests that were answered whole, requests that were not, and the percentiles
//! of the time from the first byte of a request to the last of its answer. With
//! `SECONDS` 0, each connection sends one request only.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// No request of a benchmark takes longer.
const LONGEST: Duration = Duration::from_secs(120);

struct Plan {
    address: SocketAddr,
    request: Vec<u8>,
    streamed: bool,
    until: Option<Instant>,
}

#[derive(Default)]
struct Tally {
    micros: Vec<u32>,
    failed: u64,
    reason: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, path, key, connections, seconds, body] = arguments.as_slice() else {
        bail!("bench-load ADDRESS PATH KEY CONNECTIONS SECONDS BODY");
    };
    let seconds: f64 = seconds.parse()?;
    let began = now();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let plan: &'static Plan = Box::leak(Box::new(Plan {
        address: address.parse()?,
        request: request.into_bytes(),
        streamed: body.contains("\"stream\":true"),
        until: (seconds > 0.0).then(|| began + Duration::from_secs_f64(seconds)),
    }));
    let tasks = helix_base::TaskGroup::new();
    let workers: Vec<_> = (0..connections.parse()?)
        .map(|_| tasks.spawn("connection", connection(plan)))
        .collect();
    let mut all = Tally::default();
    for worker in workers {
        let tally = worker.await?.unwrap_or_default();
        all.micros.extend(tally.micros);
        all.failed += tally.failed;
        all.reason = all.reason.or(tally.reason);
    }
    print(all, now() - began)
}

fn print(mut all: Tally, took: Duration) -> anyhow::Result<()> {
    use std::io::Write as _;

    all.micros.sort_unstable();
    let percentile = |percent: usize| {
        let last = all.micros.len().saturating_sub(1);
        all.micros
            .get(last * percent / 100)
            .copied()
            .unwrap_or_default()
    };
    let per_second = all.micros.len() as f64 / took.as_secs_f64();
    let report = json!({
        "answered": all.micros.len(), "failed": all.failed, "reason": all.reason,
        "per_second": per_second, "p50_us": percentile(50), "p99_us": percentile(99),
    });
    writeln!(std::io::stdout(), "{report}").context("printing the report")
}

async fn connection(plan: &'static Plan) -> Tally {
    let mut tally = Tally::default();
    let mut socket = None;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let began = now();
        let asked = tokio::time::timeout(LONGEST, ask(plan, &mut socket, &mut buffer)).await;
        match asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time"))) {
            Ok(()) => {
                let micros = (now() - began).as_micros();
                tally.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
            }
            Err(error) => {
                socket = None;
                tally.failed += 1;
                tally.reason.get_or_insert(format!("{error:#}"));
            }
        }
        if plan.until.is_none_or(|until| now() >= until) {
            return tally;
        }
    }
}

/// One request and its whole answer.
async fn ask(plan: &Plan, socket: &mut Option<TcpStream>, buffer: &mut [u8]) -> anyhow::Result<()> {
    let connected = match socket.take() {
        Some(socket) => socket,
        None => {
            let socket = TcpStream::connect(plan.address)
                .await
                .context("connecting")?;
            socket.set_nodelay(true)?;
            socket
        }
    };
    let connected = socket.insert(connected);
    connected
        .write_all(&plan.request)
        .await
        .context("sending")?;
    let mut filled = 0;
    let (start, framing) = loop {
        filled += read(connected, &mut buffer[filled..]).await?;
        if let Some(end) = find(&buffer[..filled], b"\r\n\r\n") {
            break (end + 4, framing(&buffer[..end])?);
        }
    };
    match framing {
        Framing::Length(length) => {
            while filled < start + length {
                filled += read(connected, &mut buffer[filled..]).await?;
            }
        }
        Framing::Chunked => {
            let mut done = false;
            let mut from = start;
            while !buffer[from..filled].ends_with(b"0\r\n\r\n") {
                done |= find(&buffer[from..filled], b"[DONE]").is_some();
                // What may be the beginning of a marker stays.
                let kept = (filled - from).min(8);
                buffer.copy_within(filled - kept..filled, 0);
                (from, filled) = (0, kept);
                filled += read(connected, &mut buffer[filled..]).await?;
            }
            done |= find(&buffer[from..filled], b"[DONE]").is_some();
            ensure!(
                done || !plan.streamed,
                "the stream ended before its last event"
            );
        }
    }
    Ok(())
}

enum Framing {
    Length(usize),
    Chunked,
}

fn framing(head: &[u8]) -> anyhow::Result<Framing> {
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    ensure!(
        head.starts_with("http/1.1 200"),
        "answered {}",
        head.lines().next().unwrap_or("")
    );
    if head.contains("transfer-encoding: chunked") {
        return Ok(Framing::Chunked);
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    Ok(Framing::Length(
        length
            .context("an answer without a length")?
            .trim()
            .parse()?,
    ))
}

async fn read(socket: &mut TcpStream, into: &mut [u8]) -> anyhow::Result<usize> {
    ensure!(!into.is_empty(), "the answer is too long");
    let read = socket.read(into).await.context("reading")?;
    ensure!(
        read > 0,
        "the connection was closed in the middle of an answer"
    );
    Ok(read)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures by the machine's clock"
)]
fn now() -> Instant {
    Instant::now()
}
