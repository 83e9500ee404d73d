//! WebSockets into sandboxes: messages pass both ways, and each side waits for the
//! other.

use std::{
    error::Error as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::{
    extract::{
        FromRequestParts as _,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
};
use bytes::Bytes;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use helix_proto::desktop::{MAX_CLIPBOARD, MAX_DOWN, Up};
use helix_tunnel::{Lane, Pipe};
use http::{HeaderMap, header};
use tokio::time::Instant;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message as Inner,
        protocol::{CloseFrame as InnerCloseFrame, WebSocketConfig},
    },
};

use super::relay::{Relay, Way, failed};
use crate::{
    App,
    api::{
        Failure,
        streams::{self, Checks},
    },
    sharing::{Right, SandboxGrant},
};

/// The longest message into the sandbox: what a desktop takes has all others in it.
const UP_BYTES: usize = MAX_CLIPBOARD;
/// The longest message out of it.
const DOWN_BYTES: usize = MAX_DOWN;
/// What waits to be written at most, beside one message.
const WRITE_BYTES: usize = 1 << 20;
/// Buffer for reading, one for each of the two: it is filled with zeros before each read, and most
/// messages are short.
const READ_BYTES: usize = 16 << 10;
/// How long a client may give no sign of life, or either side take no message.
const PATIENCE: Duration = Duration::from_secs(45);

/// How long a client has to read why it ends, while it still sends.
const LINGER: Duration = Duration::from_secs(1);

/// Close codes, as of the live-update socket.
mod code {
    pub(super) const TOO_LARGE: u16 = 1009;
    pub(super) const SIGNED_OUT: u16 = 4001;
    pub(super) const RESTART: u16 = 1012;
    pub(super) const LOST: u16 = 1011;
    pub(super) const AGAIN: u16 = 1013;
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .max_message_size(Some(DOWN_BYTES))
        .max_frame_size(Some(DOWN_BYTES))
        .write_buffer_size(0)
        .max_write_buffer_size(UP_BYTES + WRITE_BYTES)
}

/// Connects a browser, or another client, with what is in the sandbox. Who may only read is one
/// who looks on at a desktop.
pub(super) async fn connect(
    mut relay: Relay,
    found: &SandboxGrant,
    lane: Lane,
    mut headers: HeaderMap,
) -> Result<Response, Failure> {
    let upgrade = WebSocketUpgrade::from_request_parts(&mut relay.parts, &()).await;
    let upgrade = upgrade.map_err(|rejection| {
        let why = rejection.body_text().to_lowercase();
        Failure::bad_request(format!("this is a WebSocket: {why}"))
    })?;
    let target = relay.target()?.to_string();
    let app = relay.app;
    let way = Way::find(&app, found)?;
    let looks_on = found.grant.right() == Right::Read;
    for name in [
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::SEC_WEBSOCKET_ACCEPT,
    ] {
        headers.remove(name);
    }
    let answer = way.tunnel.websocket(lane, &target, headers, config()).await;
    let (parts, inside) = answer.map_err(|error| failed(&error))?.into_parts();
    let chosen = parts.headers.get(header::SEC_WEBSOCKET_PROTOCOL);
    let chosen = chosen
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let upgrade = match chosen {
        Some(protocol) => upgrade.protocols([protocol]),
        None => upgrade,
    };
    let tasks = app.foundation().tasks.clone();
    Ok(upgrade
        .read_buffer_size(READ_BYTES)
        .max_message_size(UP_BYTES)
        .max_frame_size(UP_BYTES)
        .on_upgrade(move |outside| async move {
            // In the group, so that a shutdown waits for the goodbye.
            let _ = tasks
                .spawn(
                    "sandbox websocket",
                    carry(app, way, looks_on, outside, inside),
                )
                .await;
        }))
}

/// Why it ended, for both sides: a code and a reason.
type End = Option<(u16, String)>;

async fn carry(
    app: App,
    mut way: Way,
    looks_on: bool,
    outside: WebSocket,
    inside: WebSocketStream<Pipe>,
) {
    let (mut to_client, from_client) = outside.split();
    let (mut to_sandbox, from_sandbox) = inside.split();
    let began = Instant::now();
    let heard_ms = AtomicU64::new(0);
    let end = {
        let heard = Heard {
            began,
            at_ms: &heard_ms,
            looks_on,
        };
        let up = up(from_client, &mut to_sandbox, heard);
        let down = down(from_sandbox, &mut to_client);
        let watched = watched(&app, &mut way.checks, began, &heard_ms);
        tokio::select! {
            end = up => end,
            end = down => end,
            end = watched => end,
        }
    };
    let is_cut = matches!(end, Some((code::TOO_LARGE, _)));
    let goodbyes = async {
        let frame = end.clone();
        let inner = frame.map(|(code, reason)| InnerCloseFrame {
            code: code.into(),
            reason: reason.into(),
        });
        let outer = end.map(|(code, reason)| CloseFrame {
            code,
            reason: reason.into(),
        });
        let told = futures_util::future::join(
            to_sandbox.send(Inner::Close(inner)),
            to_client.send(Message::Close(outer)),
        );
        // A side that takes nothing any more gets no goodbye.
        let _ = told.await;
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), goodbyes).await;
    if is_cut {
        // What is not read of a message resets the connection when it is let go of, and then the
        // goodbye may not be read any more.
        tokio::time::sleep(LINGER).await;
    }
}

/// What is to be known of a client.
struct Heard<'a> {
    began: Instant,
    /// When it last said something, after it began.
    at_ms: &'a AtomicU64,
    /// It may do no more than look on at a desktop.
    looks_on: bool,
}

/// What is passed on of one that may only look on at a desktop.
fn looking_on(message: Bytes) -> Result<Option<Bytes>, End> {
    let read = Up::decode(message).and_then(|up| up.looking_on().map(|up| up.encode()).transpose());
    read.map_err(|error| Some((error.close_code(), error.to_string())))
}

/// From the client into the sandbox.
async fn up(
    mut from: SplitStream<WebSocket>,
    to: &mut SplitSink<WebSocketStream<Pipe>, Inner>,
    heard: Heard<'_>,
) -> End {
    while let Some(message) = from.next().await {
        let now_ms = u64::try_from(heard.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        heard.at_ms.store(now_ms, Ordering::Relaxed);
        let message = match message {
            Ok(Message::Text(_)) if heard.looks_on => continue,
            Ok(Message::Binary(bytes)) if heard.looks_on => match looking_on(bytes) {
                Ok(Some(bytes)) => Inner::Binary(bytes),
                Ok(None) => continue,
                Err(end) => return end,
            },
            Ok(Message::Text(text)) => Inner::Text(text.as_str().into()),
            Ok(Message::Binary(bytes)) => Inner::Binary(bytes),
            Ok(Message::Ping(_) | Message::Pong(_)) => continue,
            Ok(Message::Close(frame)) => {
                return frame.map(|frame| (frame.code, frame.reason.as_str().to_owned()));
            }
            Err(error) if is_too_large(&error) => return too_large(UP_BYTES),
            Err(_) => return None,
        };
        match tokio::time::timeout(PATIENCE, to.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return lost(&error),
            Err(_) => return lost(&"it takes nothing any more"),
        }
    }
    None
}

/// Out of the sandbox to the client.
async fn down(
    mut from: SplitStream<WebSocketStream<Pipe>>,
    to: &mut SplitSink<WebSocket, Message>,
) -> End {
    let mut ticks = streams::ticks();
    loop {
        let message = tokio::select! {
            biased;
            message = from.next() => message,
            _ = ticks.tick() => Some(Ok(Inner::Ping(Bytes::new()))),
        };
        let message = match message {
            Some(Ok(Inner::Text(text))) => Message::Text(text.as_str().into()),
            Some(Ok(Inner::Binary(bytes))) => Message::Binary(bytes),
            // Its own, to the client; that of the sandbox is answered by the library.
            Some(Ok(Inner::Ping(_))) => Message::Ping(Bytes::new()),
            Some(Ok(Inner::Pong(_) | Inner::Frame(_))) => continue,
            Some(Ok(Inner::Close(frame))) => {
                return frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()));
            }
            Some(Err(tungstenite::Error::Capacity(_))) => return too_large(DOWN_BYTES),
            Some(Err(error)) => return lost(&error),
            None => return lost(&"its end of the connection is gone"),
        };
        match tokio::time::timeout(PATIENCE, to.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return None,
        }
    }
}

/// Ends when the connection may not go on.
async fn watched(app: &App, checks: &mut Checks, began: Instant, heard_ms: &AtomicU64) -> End {
    let draining = app.foundation().tasks.draining_token().clone();
    loop {
        let may = tokio::select! {
            () = draining.cancelled() => return Some((code::RESTART, "restarting".to_owned())),
            may = checks.next() => may,
        };
        if !may {
            return Some(match checks.signed_in().await {
                false => (code::SIGNED_OUT, "signed out".to_owned()),
                true => (code::AGAIN, "what you may do here has changed".to_owned()),
            });
        }
        let heard = Duration::from_millis(heard_ms.load(Ordering::Relaxed));
        if began.elapsed().saturating_sub(heard) > PATIENCE {
            return None;
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    matches!(source, Some(tungstenite::Error::Capacity(_)))
}

fn too_large(most: usize) -> End {
    let why = format!("a message beyond {} MiB", most >> 20);
    Some((code::TOO_LARGE, why))
}

fn lost(why: &dyn std::fmt::Display) -> End {
    let mut why = format!("the sandbox was lost: {why}");
    // A close frame has room for 123 bytes.
    why.truncate(why.floor_char_boundary(120));
    Some((code::LOST, why))
}
