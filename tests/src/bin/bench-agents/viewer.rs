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
use tokio_tungstenite::tungstenite::Message;

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
    /// Its number.
    pub(crate) seq: u64,
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
        socket.send(Message::text(text)).await?;
        Ok(Self { socket })
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Result<Arrived> {
        loop {
            let message = tokio::time::timeout(LONGEST, self.socket.next()).await;
            let at = now_ns();
            let message = message.context("nothing came in a minute")?;
            let text = match message.context("the feed ended")?? {
                Message::Text(text) => text,
                Message::Close(why) => bail!("the feed was closed: {why:?}"),
                _ => continue,
            };
            match serde_json::from_str(&text)? {
                ServerMessage::SessionEvent { event, .. } => {
                    let (seq, seen) = (event.seq, seen(event.body)?);
                    return Ok(Arrived { seq, at, seen });
                }
                ServerMessage::Error { message, .. } => bail!("refused: {message}"),
                _ => {}
            }
        }
    }
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
