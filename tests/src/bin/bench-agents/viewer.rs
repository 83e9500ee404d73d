//! Somebody who looks at a session, as a page does: on the user's WebSocket.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use helix_proto::{
    SessionId, TurnId,
    agents::{Content, Entry, EventBody, TurnEnd},
    live::{ClientMessage, ServerMessage},
    session::SessionEventBody,
};
use serde::Deserialize;
use tokio_tungstenite::tungstenite::{Message as Frame, Utf8Bytes};

use crate::{
    now_ns,
    person::{Person, Socket},
};

/// Nothing that is waited for takes longer.
const LONGEST: Duration = Duration::from_secs(60);

/// What is to be known of a session's log.
#[derive(Debug)]
pub(crate) enum Seen {
    /// The agent said something.
    Text(String),
    /// A turn is over.
    Ended(TurnId),
    /// Anything else.
    Other,
}

/// An event of the log.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// When it came, before it was read, by [`now_ns`].
    pub(crate) at: u128,
    pub(crate) seen: Seen,
}

/// Follows one session.
pub(crate) struct Viewer {
    socket: Socket,
}

impl Viewer {
    /// Follows a session from its beginning.
    pub(crate) async fn follow(person: &Person, session_id: SessionId) -> Result<Self> {
        let mut socket = person.socket().await?;
        let follow = ClientMessage::Follow {
            session_id,
            after: 0,
        };
        let text = serde_json::to_string(&follow)?;
        socket.send(Frame::text(text)).await?;
        Ok(Self { socket })
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Result<Arrived> {
        loop {
            let (at, text) = self.text().await?;
            match serde_json::from_str(&text)? {
                ServerMessage::SessionEvent { event, .. } => {
                    let seen = seen(event.body)?;
                    return Ok(Arrived { at, seen });
                }
                ServerMessage::Error { message, .. } => bail!("refused: {message}"),
                _ => {}
            }
        }
    }

    /// Waits for an event of the log, of which nothing else is read: what a browser does with
    /// events is its own.
    pub(crate) async fn until(&mut self, seq: u64) -> Result<()> {
        loop {
            let (_, text) = self.text().await?;
            let message: Message = serde_json::from_str(&text)?;
            if message.event.is_some_and(|event| event.seq >= seq) {
                return Ok(());
            }
        }
    }

    /// The next message, and when it came.
    async fn text(&mut self) -> Result<(u128, Utf8Bytes)> {
        loop {
            let frame = tokio::time::timeout(LONGEST, self.socket.next()).await;
            let at = now_ns();
            let frame = frame.context("nothing came in a minute")?;
            match frame.context("the feed ended")?? {
                Frame::Text(text) => return Ok((at, text)),
                Frame::Close(why) => bail!("the feed was closed: {why:?}"),
                _ => {}
            }
        }
    }
}

/// The number of an event in a message.
#[derive(Deserialize)]
struct Message {
    event: Option<Numbered>,
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

fn seen(body: SessionEventBody) -> Result<Seen> {
    let SessionEventBody::Agent { entry } = body else {
        return Ok(Seen::Other);
    };
    match *entry {
        Entry::Agent { event, .. } => match event.body {
            EventBody::Message {
                content: Content::Text { text },
            } => Ok(Seen::Text(text)),
            _ => Ok(Seen::Other),
        },
        Entry::TurnEnded {
            end: TurnEnd::Failed { reason },
            ..
        } => bail!("a turn failed: {reason}"),
        Entry::TurnEnded { turn, .. } => Ok(Seen::Ended(turn)),
        _ => Ok(Seen::Other),
    }
}
