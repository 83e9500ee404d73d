//! One who looks at a terminal.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use helix_proto::{
    error::ErrorCode,
    sandbox::guest::{TerminalCommand, TerminalEvent},
};
use tokio::time::timeout;

use super::{Gone, Open, Size};
use crate::guest::failure::{Answer, Failed};

/// How many look at one terminal at once.
const MOST: u32 = 64;
/// How long the last words may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// One who looks at a terminal, counted as long as this lives.
pub(super) struct Viewer {
    open: Arc<Open>,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.open.attached.fetch_sub(1, Ordering::Relaxed);
        // The program may be waiting for this one.
        self.open.seen.send_modify(|_| {});
    }
}

/// Why a viewer is let go.
enum End {
    /// The program ended, and the viewer knows.
    Exit,
    /// The connection is gone.
    Left,
    /// It did wrong, or was too slow; why, for it to read.
    Closed(u16, &'static str),
}

impl Viewer {
    pub(super) fn enter(open: Arc<Open>) -> Answer<Self> {
        let room = |viewers: u32| (viewers < MOST).then_some(viewers + 1);
        match open
            .attached
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
        {
            Ok(_) => Ok(Self { open }),
            Err(_) => Err(Failed::new(
                ErrorCode::TooManyRequests,
                format!("{MOST} viewers look at this terminal already"),
            )),
        }
    }

    pub(super) async fn serve(self, socket: WebSocket, after: Option<u64>) {
        let (mut down, up) = socket.split();
        let end = tokio::select! {
            end = self.down(&mut down, after) => end,
            end = self.up(up) => end,
        };
        let (code, reason) = match end {
            End::Left => return,
            End::Exit => (close_code::NORMAL, "the program ended"),
            End::Closed(code, reason) => (code, reason),
        };
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        };
        // Whoever does not take it is gone all the same.
        let _ = timeout(CLOSE_WITHIN, down.send(Message::Close(Some(frame)))).await;
    }

    /// Sends what the program writes, from `after` on or the oldest that is kept.
    async fn down(&self, socket: &mut SplitSink<WebSocket, Message>, after: Option<u64>) -> End {
        let open = &self.open;
        let mut written = open.written.subscribe();
        let mut size = open.size.subscribe();
        let mut exit = open.exit.subscribe();
        let mut at = {
            let ring = open.ring();
            after.unwrap_or_default().clamp(ring.start(), ring.end())
        };
        let seen = *open.seen.borrow();
        open.saw(at);
        let mut next = text(TerminalEvent::Attached { offset: at, seen });
        loop {
            tokio::select! {
                sent = socket.send(next) => if sent.is_err() { return End::Left },
                () = self.overtaken(at) => return End::Left,
            }
            open.saw(at);
            next = loop {
                written.borrow_and_update();
                let ended = *exit.borrow_and_update();
                match open.read(at) {
                    Err(Gone) => return TOO_SLOW,
                    Ok(bytes) if !bytes.is_empty() => {
                        at += bytes.len() as u64;
                        break Message::Binary(bytes.into());
                    }
                    Ok(_) => {}
                }
                if let Some(ended) = ended {
                    let sent = socket.send(text(TerminalEvent::Exit(ended))).await;
                    return if sent.is_ok() { End::Exit } else { End::Left };
                }
                tokio::select! {
                    _ = written.changed() => {}
                    _ = exit.changed() => {}
                    _ = size.changed() => {
                        let Size { cols, rows } = *size.borrow_and_update();
                        break text(TerminalEvent::Resized { cols, rows });
                    }
                }
            };
        }
    }

    /// Ends when what comes after `at` is no longer kept: this viewer takes nothing.
    async fn overtaken(&self, at: u64) {
        let mut written = self.open.written.subscribe();
        // The sender lives as long as the terminal.
        let _ = written.wait_for(|_| self.open.ring().start() > at).await;
    }

    /// Takes what the viewer types.
    async fn up(&self, mut socket: SplitStream<WebSocket>) -> End {
        while let Some(Ok(message)) = socket.next().await {
            match message {
                // Nobody reads it when the program has ended.
                Message::Binary(bytes) => drop(self.open.master.write(&bytes).await),
                Message::Text(command) => match serde_json::from_str(&command) {
                    Ok(TerminalCommand::Resize { cols, rows }) => {
                        if self.open.resize(Size { cols, rows }).is_err() {
                            return BAD_SIZE;
                        }
                    }
                    Err(_) => return NO_COMMAND,
                },
                Message::Close(_) => return End::Left,
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
        End::Left
    }
}

const TOO_SLOW: End = End::Closed(
    close_code::AGAIN,
    "too slow: output was lost; attach again with what you have",
);
const BAD_SIZE: End = End::Closed(
    close_code::POLICY,
    "a terminal has 1 to 1000 columns and rows",
);
const NO_COMMAND: End = End::Closed(close_code::POLICY, "a text message is a TerminalCommand");

fn text(event: TerminalEvent) -> Message {
    let json = serde_json::to_string(&event).expect("an event of numbers is JSON");
    Message::Text(json.into())
}
