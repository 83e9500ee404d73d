//! A long log, read from its beginning by somebody who comes anew.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::StreamExt as _;
use helix_base::SecretString;
use helix_proto::{
    SessionId,
    agents::{EventBody, MAX_EVENTS},
};
use serde_json::{Value, json};

use crate::{
    host::{Host, message},
    now,
    person::Person,
    viewer::Viewer,
};

/// What is said and not known to be stored, at most.
const AHEAD: u64 = 16 * MAX_EVENTS as u64;

pub(crate) async fn measure(
    person: &Person,
    credential: &SecretString,
    events: u32,
    rounds: u32,
) -> Result<Value> {
    person.publish_agent().await?;
    let mut host = Host::connect(person, credential).await?;
    let session = person.begin().await?;
    person.prompt(session, "say much").await?;
    host.take_prompts(1).await?;
    fill(&mut host, events).await?;
    // On a socket as the page's, and as programs read it.
    let (mut socket_ms, mut sse_ms) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        socket_ms.push(by_socket(person, session, events).await?);
        sse_ms.push(by_sse(person, session, events).await?);
    }
    Ok(json!({ "socket_ms": socket_ms, "sse_ms": sse_ms }))
}

async fn fill(host: &mut Host, events: u32) -> Result<()> {
    let Some(thread) = host.threads.keys().next().copied() else {
        anyhow::bail!("no thread");
    };
    let numbers: Vec<u32> = (0..events).collect();
    for chunk in numbers.chunks(MAX_EVENTS) {
        let bodies: Result<Vec<_>> = chunk.iter().map(|number| body(*number)).collect();
        let last = host.tell(thread, bodies?).await?;
        host.flush().await?;
        if last > AHEAD {
            host.stored(thread, last - AHEAD).await?;
        }
    }
    host.end(thread).await?;
    host.flush().await?;
    host.rest_until(tokio::time::Instant::now() + Duration::from_secs(3))
        .await
}

/// A few words, and now and then what a tool does.
fn body(number: u32) -> Result<EventBody> {
    if number % 20 != 19 {
        return Ok(message(format!("word {number} of it ")));
    }
    let text = json!({ "type": "text", "text": "line of output\n".repeat(10) });
    let update = json!({
        "type": "tool_update", "id": format!("call-{}", number / 40), "status": "in_progress",
        "content": [{ "type": "content", "content": text }],
    });
    Ok(serde_json::from_value(update)?)
}

/// Milliseconds until all of the log is there: as a page loads it.
async fn by_socket(person: &Person, session: SessionId, events: u32) -> Result<f64> {
    let began = now();
    let last = person.session(session).await?.last_seq;
    ensure!(last >= events.into(), "only {last} events are stored");
    let mut viewer = Viewer::follow(person, session).await?;
    viewer.until(last).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// The same as server-sent events.
async fn by_sse(person: &Person, session: SessionId, events: u32) -> Result<f64> {
    let began = now();
    let last = person.session(session).await?.last_seq;
    ensure!(last >= events.into(), "only {last} events are stored");
    let end = format!("id: {last}\n");
    let mut body = person.events(session).await?.bytes_stream();
    // What may be the beginning of the last one's id stays.
    let mut tail = Vec::new();
    loop {
        let chunk = match body.next().await {
            Some(chunk) => chunk?,
            None => anyhow::bail!("the log ended before its last event"),
        };
        tail.extend_from_slice(&chunk);
        let is_there = tail
            .windows(end.len())
            .any(|window| window == end.as_bytes());
        if is_there {
            return Ok(began.elapsed().as_secs_f64() * 1e3);
        }
        let kept = tail.len().min(4 * end.len());
        tail.drain(..tail.len() - kept);
    }
}
