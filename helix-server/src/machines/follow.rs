//! Follows what a connected machine says of itself, for as long as it is connected.

use std::time::Duration;

use helix_base::TaskGroup;
use helix_tunnel::{CloseCode, LaneState};
use serde::de::DeserializeOwned;

use super::calls::{Calls, Error};

/// A machine says something at least every ten seconds, while its tunnel has a
/// connection. Without one, the tunnel itself says when that was too long.
const SILENCE: Duration = Duration::from_secs(60);

/// Whoever hears what a machine says.
pub(crate) trait Listener: Send {
    /// What machines of this kind say.
    type Event: DeserializeOwned + Send;

    /// It said something. Whether the listener takes it for connected from now on,
    /// whatever it was told before.
    fn heard(&mut self, event: Self::Event) -> impl Future<Output = bool> + Send;

    /// Its connection broke (`away`), or was replaced.
    fn moved(&mut self, away: bool) -> impl Future<Output = ()> + Send;
}

/// Tells the listener everything until the connection ends; why it did. The tunnel is
/// closed then.
pub(crate) async fn follow(
    calls: &Calls,
    group: &TaskGroup,
    listener: &mut impl Listener,
) -> String {
    let tunnel = calls.tunnel();
    let ended = tokio::select! {
        read = read(calls, listener) => match read {
            Ok(()) => format!("the {} ended its stream of events", calls.role),
            Err(error) => error.to_string(),
        },
        reason = tunnel.closed() => reason.to_string(),
        // Answers in flight are finished: the tunnel closes after the last one.
        () = group.draining() => tunnel.closed().await.to_string(),
    };
    tunnel.close(CloseCode::GOING_AWAY, ended.clone());
    ended
}

async fn read<L: Listener>(calls: &Calls, listener: &mut L) -> Result<(), Error> {
    let mut events = calls.events().await?;
    let mut told = LaneState::Connected;
    loop {
        let silence = async {
            if told == LaneState::Resuming {
                return std::future::pending().await;
            }
            tokio::time::sleep(SILENCE).await;
        };
        let next = tokio::select! {
            biased;
            state = calls.tunnel().state_other_than(told) => {
                told = state;
                let away = match state {
                    LaneState::Connected => false,
                    LaneState::Resuming => true,
                    _ => return Err(calls.lost(&calls.tunnel().closed().await)),
                };
                listener.moved(away).await;
                continue;
            }
            next = events.next::<L::Event>() => next?,
            () = silence => {
                let why = format!("it said nothing for {} s", SILENCE.as_secs());
                return Err(calls.lost(&why));
            }
        };
        let Some(event) = next else { return Ok(()) };
        if listener.heard(event).await {
            told = LaneState::Connected;
        }
    }
}
