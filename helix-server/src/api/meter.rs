//! Streams of measurements, for as long as somebody looks.

use std::{pin::Pin, time::Duration};

use axum::response::sse::{Event, Sse};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior};

use super::{
    Failure,
    streams::{Checks, Open},
};
use crate::{App, auth::Identity};

/// How often a stream measures.
const MEASURE: Duration = Duration::from_secs(2);

/// Measures for one browser.
pub(super) struct Meter<T, F> {
    app: App,
    checks: Checks,
    measure: F,
    first: Option<T>,
    beat: Interval,
    over: bool,
    _open: Open,
}

type Measured<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

impl<T, F> Meter<T, F>
where
    T: Serialize + Send + 'static,
    F: Fn() -> Measured<T> + Send + 'static,
{
    /// A stream of what `measure` finds, every two seconds. Ends when that fails, with an
    /// event named `error` that carries the reason.
    ///
    /// # Errors
    /// What is wrong now is answered as an error and not as a stream; and so are too many
    /// streams of one user.
    pub(super) async fn stream(
        app: &App,
        identity: &Identity,
        checks: Checks,
        measure: F,
    ) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>> + use<T, F>>, Failure> {
        let most = app.options().limits.streams_per_user;
        let open = app.streams().open(identity.user_id, most)?;
        let first = measure().await?;
        let mut beat = tokio::time::interval(MEASURE);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let meter = Self {
            app: app.clone(),
            checks,
            measure,
            first: Some(first),
            beat,
            over: false,
            _open: open,
        };
        Ok(Sse::new(stream::unfold(meter, Self::next)))
    }

    async fn next(mut self) -> Option<(Result<Event, axum::Error>, Self)> {
        if self.over {
            return None;
        }
        let draining = self.app.foundation().tasks.draining_token().clone();
        tokio::select! {
            biased;
            () = draining.cancelled() => None,
            may = self.checks.next() => may.then(|| (Ok(Event::default().comment("")), self)),
            _ = self.beat.tick() => {
                let measured = match self.first.take() {
                    Some(first) => Ok(first),
                    None => (self.measure)().await,
                };
                let event = match measured {
                    Ok(found) => Event::default().json_data(found),
                    Err(failure) => {
                        self.over = true;
                        Event::default().event("error").json_data(failure.error())
                    }
                };
                Some((event, self))
            }
        }
    }
}
