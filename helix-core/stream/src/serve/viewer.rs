//! One viewer's socket.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use bytes::Bytes;
use futures_util::{
    SinkExt as _, Stream, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use helix_proto::desktop::{Down, Greeting, MALFORMED, Micros, TOO_LARGE, Up};
use tokio::time::{Instant, timeout};

use super::{Shared, outbox::Outbox};
use crate::hub::{Full, ViewerId};

/// How long a viewer may take to say who it is.
const GREET_WITHIN: Duration = Duration::from_secs(10);
/// How long a viewer waits for its `Hello` where there is no desktop, and how often that is
/// looked at from then on.
const DESKTOP_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the way is kept open, and a connection that is gone found out.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// One that has said nothing of its own for this long is gone. What answers the pings may be a
/// relay on its way.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// The same for one that does not look: browsers wake a page in the background once a minute.
const HIDDEN_FOR: Duration = Duration::from_secs(150);
/// Sound that has waited for longer than this, in microseconds, is not sent any more.
const LATE_SOUND: u64 = 300_000;
/// How long the last words may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Why a viewer is let go.
enum End {
    /// The connection is gone.
    Left,
    /// It did wrong, or cannot be served; why, for it to read.
    Closed(u16, String),
}

/// A viewer that has greeted; it leaves when this is dropped.
pub(super) struct Present<'a> {
    shared: &'a Shared,
    pub(super) id: ViewerId,
    pub(super) outbox: Arc<Outbox>,
}

impl Present<'_> {
    /// Does what the viewer says.
    ///
    /// # Errors
    ///
    /// As [`Hub::message`](crate::hub::Hub::message).
    pub(super) fn say(&self, message: Up) -> Result<(), &'static str> {
        let now = self.shared.clock.now();
        let mut state = self.shared.state.lock();
        let actions = state
            .hub
            .message(self.id, message, self.shared.micros(now), now)?;
        state.act(actions, now);
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        self.shared.state.lock().leave(self.id, now);
        self.shared.changed.notify_one();
    }
}

/// Serves a viewer until it leaves.
pub(super) async fn serve(shared: &Shared, socket: WebSocket) {
    let (mut down, mut up) = socket.split();
    let end = match timeout(GREET_WITHIN, greet(shared, &mut up)).await {
        Ok(Ok(present)) => {
            tracing::info!(viewer = %present.id, "a viewer has come");
            let end = tokio::select! {
                end = send(&present, &mut down) => end,
                end = receive(&present, &mut up) => end,
                end = waited_in_vain(&present) => end,
                () = present.outbox.overflow() => {
                    End::Closed(close_code::POLICY, "it reads too slowly".to_owned())
                }
                () = shared.tasks.draining() => {
                    End::Closed(close_code::AWAY, "the desktop is shut down".to_owned())
                }
            };
            tracing::info!(viewer = %present.id, "a viewer has left");
            end
        }
        Ok(Err(end)) => end,
        Err(_) => End::Closed(close_code::POLICY, "no Hello within 10 s".to_owned()),
    };
    if let End::Closed(code, reason) = end {
        let reason = Utf8Bytes::from(short(&reason));
        let frame = CloseFrame { code, reason };
        // Whoever does not take it is gone all the same.
        let _ = timeout(CLOSE_WITHIN, down.send(Message::Close(Some(frame)))).await;
    }
}

/// What fits into a close frame: 123 bytes.
fn short(reason: &str) -> &str {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

async fn greet<'a>(
    shared: &'a Shared,
    up: &mut SplitStream<WebSocket>,
) -> Result<Present<'a>, End> {
    let Up::Hello(greeting) = decode(next(up).await?)? else {
        return Err(End::Closed(
            MALFORMED,
            "the first message is no Hello".to_owned(),
        ));
    };
    let joined = join(shared, &greeting);
    joined.map_err(|full| End::Closed(close_code::AGAIN, full.to_string()))
}

/// Lets somebody watch.
pub(super) fn join<'a>(shared: &'a Shared, greeting: &Greeting) -> Result<Present<'a>, Full> {
    let now = shared.clock.now();
    let outbox = Arc::new(Outbox::default());
    let mut state = shared.state.lock();
    let (id, actions) = state.hub.join(greeting, now)?;
    state.enter(id, outbox.clone());
    state.act(actions, now);
    drop(state);
    shared.changed.notify_one();
    Ok(Present { shared, id, outbox })
}

/// The next message of the viewer's own.
async fn next(
    up: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin),
) -> Result<Bytes, End> {
    let message = loop {
        match up.next().await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            message => break message,
        }
    };
    match message {
        Some(Ok(Message::Binary(message))) => Ok(message),
        Some(Ok(Message::Text(_))) => {
            let reason = "text, where every message is binary".to_owned();
            Err(End::Closed(close_code::UNSUPPORTED, reason))
        }
        Some(Ok(Message::Close(_) | Message::Ping(_) | Message::Pong(_))) | None => Err(End::Left),
        Some(Err(error)) if is_too_large(&error) => {
            let reason = "a message beyond all bounds".to_owned();
            Err(End::Closed(TOO_LARGE, reason))
        }
        Some(Err(_)) => Err(End::Left),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    // What the WebSocket's own error is, is not in axum's interface; its text is all there is.
    error.to_string().contains("too long")
}

fn decode(message: Bytes) -> Result<Up, End> {
    Up::decode(message).map_err(|error| End::Closed(error.close_code(), error.to_string()))
}

/// What the viewer says next, which has to come within this time.
async fn heard(
    up: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin),
    within: Duration,
) -> Result<Up, End> {
    match timeout(within, next(up)).await {
        Ok(message) => decode(message?),
        Err(_) => {
            let reason = format!("silent for {} s", within.as_secs());
            // A machine that slept may be awake again.
            Err(End::Closed(close_code::AGAIN, reason))
        }
    }
}

/// Does what the viewer says.
async fn receive(present: &Present<'_>, up: &mut SplitStream<WebSocket>) -> End {
    let mut within = SILENT_FOR;
    loop {
        let message = match heard(up, within).await {
            Ok(message) => message,
            Err(end) => return end,
        };
        if let Up::Visible(visible) = message {
            within = if visible { SILENT_FOR } else { HIDDEN_FOR };
        }
        if let Err(why) = present.say(message) {
            return End::Closed(MALFORMED, why.to_owned());
        }
    }
}

/// Ends when the viewer has waited for long enough where there is no desktop.
async fn waited_in_vain(present: &Present<'_>) -> End {
    let mut look = tokio::time::interval_at(Instant::now() + DESKTOP_WITHIN, LOOK_EVERY);
    loop {
        look.tick().await;
        let state = present.shared.state.lock();
        if let Some(why) = state.hub.waits_in_vain(present.id) {
            return End::Closed(close_code::AGAIN, why.to_owned());
        }
    }
}

/// Whether this is not worth its way any more.
fn is_late(message: &Down, now: Micros) -> bool {
    matches!(message, Down::Audio(audio) if now.0.saturating_sub(audio.captured.0) > LATE_SOUND)
}

/// Sends what there is for the viewer.
async fn send(present: &Present<'_>, down: &mut SplitSink<WebSocket, Message>) -> End {
    let mut ask = tokio::time::interval_at(Instant::now() + ASK_EVERY, ASK_EVERY);
    loop {
        let message = tokio::select! {
            message = present.outbox.pop() => match message.encode() {
                _ if is_late(&message, present.shared.micros(present.shared.clock.now())) => continue,
                Ok(message) => Message::Binary(message),
                Err(why) => {
                    tracing::warn!(%why, "a message that cannot be sent");
                    continue;
                }
            },
            _ = ask.tick() => Message::Ping(Bytes::new()),
        };
        if down.send(message).await.is_err() {
            return End::Left;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use helix_proto::desktop::Audio;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_for_whom_something_else_answers_is_silent_all_the_same() {
        let pongs = stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Some((Ok(Message::Pong(Bytes::new())), ()))
        });
        let began = Instant::now();
        let Err(End::Closed(code, reason)) = heard(&mut Box::pin(pongs), SILENT_FOR).await else {
            panic!("it is let go");
        };
        assert_eq!((code, reason.as_str()), (1013, "silent for 30 s"));
        assert_eq!(began.elapsed(), SILENT_FOR);
    }

    #[test]
    fn sound_that_has_waited_for_too_long_is_not_sent_and_other_messages_are() {
        let audio = Down::Audio(Audio {
            sequence: 1,
            captured: Micros(1_000_000),
            opus: Bytes::from_static(b"x"),
        });
        assert!(!is_late(&audio, Micros(0)));
        assert!(!is_late(&audio, Micros(1_300_000)));
        assert!(is_late(&audio, Micros(1_300_001)));
        let (token, now) = (1, Micros(0));
        assert!(!is_late(&Down::Pong { token, now }, Micros(u64::MAX)));
    }
}
