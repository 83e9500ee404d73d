//! Many viewers of one desktop, for `cargo xtask bench stream`: they acknowledge what comes
//! as a browser does that paints at once, and one of them may stall.
//!
//! `bench-viewers URL COUNT STALLED SECONDS KEY`, with an API key in `HELIX_BENCH_KEY`. The first
//! presses a key when it comes, by its code in Linux, as a browser does. Prints one JSON object: how late pictures were, in milliseconds, and how many were encoded.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{Clock as _, Outbound, OutboundOptions, SystemClock, TaskGroup};
use helix_proto::desktop::{Codec, Down, Greeting, Key, Micros, Size, Up};
use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

/// How long a viewer may take until it is greeted.
const GREETED_WITHIN: Duration = Duration::from_secs(30);
/// Of the first second nothing is counted.
const WARM_UP: Duration = Duration::from_secs(2);

/// What one viewer saw.
#[derive(Debug, Default)]
struct Seen {
    /// Milliseconds from capture to arrival, of each picture.
    late_ms: Vec<f64>,
    /// Pictures that it was sent, as the media process counts them, in how many seconds.
    encoded: (u64, u64),
    /// What that count was before.
    before: Option<u32>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, count, stalled, seconds, code] = arguments.as_slice() else {
        bail!("bench-viewers URL COUNT STALLED SECONDS KEY");
    };
    let code = code.parse()?;
    let key = std::env::var("HELIX_BENCH_KEY").context("HELIX_BENCH_KEY is not set")?;
    let (count, stalled): (usize, usize) = (count.parse()?, stalled.parse()?);
    let lasts = Duration::from_secs(seconds.parse()?);
    let tasks = TaskGroup::new();
    let mut viewers = Vec::new();
    for number in 0..count {
        let (url, key) = (url.clone(), key.clone());
        let is_stalled = number < stalled;
        viewers.push(tasks.spawn("viewer", async move {
            view(&url, &key, number, is_stalled, lasts, code).await
        }));
    }
    let mut all = Seen::default();
    for viewer in viewers {
        let seen = viewer.await?.context("a viewer was cut off")??;
        all.late_ms.extend(seen.late_ms);
        if seen.encoded.1 > all.encoded.1 {
            all.encoded = seen.encoded;
        }
    }
    ensure!(!all.late_ms.is_empty(), "no picture came");
    let encoded = all.encoded.0 as f64 / all.encoded.1.max(1) as f64;
    #[expect(clippy::print_stdout, reason = "what it is for")]
    {
        println!(
            "{}",
            json!({ "late_ms": all.late_ms, "encoded_per_s": encoded })
        );
    }
    Ok(())
}

async fn view(
    url: &str,
    key: &str,
    number: usize,
    is_stalled: bool,
    lasts: Duration,
    code: u16,
) -> Result<Seen> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {key}").parse()?);
    let outbound = Outbound::new(&OutboundOptions::default())?;
    let mut socket = outbound.websocket(&url.parse()?, headers).await?;
    let hello = Up::Hello(Greeting {
        looks_on: number > 0,
        patches: false,
        size: Size::new(1280, 720).context("a size")?,
        codecs: vec![Codec::H264],
        name: format!("viewer {number}"),
    });
    socket.send(hello.encode()?.into()).await?;
    let clock = SystemClock;
    let began = Instant::now();
    let (counts_from, ends) = (began + WARM_UP, began + WARM_UP + lasts);
    let (mut seen, mut offset) = (Seen::default(), None);
    // While all come at once an answer is late, and says little of the other's clock: it is asked
    // again until it counts, and the answer that came soonest is taken.
    let (mut asked, mut soonest, mut waits) = (clock.now(), Duration::MAX, true);
    let first = began + GREETED_WITHIN;
    loop {
        let deadline = if offset.is_some() {
            ends
        } else {
            first.max(ends)
        };
        let Ok(message) = timeout_at(deadline, socket.next()).await else {
            ensure!(offset.is_some(), "no greeting within {GREETED_WITHIN:?}");
            return Ok(seen);
        };
        let message: Bytes = message.context("the desktop hung up")??.into();
        let arrived = clock.now();
        // A ping of the WebSocket's own.
        if message.is_empty() {
            continue;
        }
        match Down::decode(message)? {
            Down::Hello(_) => {
                for down in [true, false].into_iter().filter(|_| number == 0) {
                    let key = Key::new(code, 0).context("a key's code")?;
                    socket.send(Up::Key { key, down }.encode()?.into()).await?;
                }
                asked = clock.now();
                socket.send(Up::Ping { token: 1 }.encode()?.into()).await?;
            }
            Down::Pong {
                now: Micros(now), ..
            } => {
                // The media process's clock, halfway.
                let took = arrived.duration_since(asked);
                if took < soonest {
                    (offset, soonest) = (Some((asked + took / 2, now)), took);
                }
                waits = false;
                if is_stalled {
                    // Reads nothing more, until all the others are done.
                    tokio::time::sleep_until(ends).await;
                    return Ok(Seen::default());
                }
            }
            Down::Frame(frame) => {
                let painted = Up::Painted {
                    sequence: frame.sequence,
                    queue: 0,
                };
                socket.send(painted.encode()?.into()).await?;
                if Instant::now() < counts_from && !waits {
                    (asked, waits) = (clock.now(), true);
                    socket.send(Up::Ping { token: 1 }.encode()?.into()).await?;
                }
                if let Some((at, now)) = offset
                    && Instant::now() >= counts_from
                {
                    let on_theirs = now as f64 + arrived.duration_since(at).as_secs_f64() * 1e6;
                    seen.late_ms
                        .push((on_theirs - frame.captured.0 as f64) / 1e3);
                }
            }
            Down::Stats(stats) if Instant::now() >= counts_from => {
                // It counts from the beginning, and says so once a second.
                if let Some(before) = seen.before.replace(stats.frames) {
                    seen.encoded.0 += u64::from(stats.frames.saturating_sub(before));
                    seen.encoded.1 += 1;
                }
            }
            _ => {}
        }
    }
}
