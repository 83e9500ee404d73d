//! From the desktop's sound to those who listen.

use std::convert::Infallible;

use helix_base::{Backoff, BackoffPolicy};

use super::Shared;
use crate::{Error, sound::Sound};

/// Listens for as long as somebody wants to hear it.
pub(super) async fn run(shared: &Shared, sound: &dyn Sound) -> Infallible {
    let mut wanted = shared.state.listened();
    let mut unwanted = wanted.clone();
    let mut backoff = Backoff::new(BackoffPolicy::default());
    loop {
        // The sender lives as long as this does.
        let _ = wanted.wait_for(|wanted| *wanted).await;
        let why = tokio::select! {
            why = pass_on(shared, sound, &mut backoff) => why,
            _ = unwanted.wait_for(|wanted| !*wanted) => continue,
        };
        tracing::warn!(%why, "there is no sound");
        {
            let mut state = shared.state.lock();
            let actions = state.hub.silent(&why.to_string());
            state.act(actions, shared.clock.now());
        }
        let delay = backoff.next_delay(&mut rand::rng());
        tokio::time::sleep(delay).await;
    }
}

/// Passes on what is heard until there is no more, and says why.
async fn pass_on(shared: &Shared, sound: &dyn Sound, backoff: &mut Backoff) -> Error {
    let mut listening = match sound.listen().await {
        Ok(listening) => listening,
        Err(why) => return why,
    };
    loop {
        let piece = match listening.next().await {
            Ok(piece) => piece,
            Err(why) => return why,
        };
        backoff.succeeded();
        let captured = shared.micros(piece.captured);
        let mut state = shared.state.lock();
        let actions = state.hub.heard(&piece.opus, captured);
        state.act(actions, shared.clock.now());
    }
}
