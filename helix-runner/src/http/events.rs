//! The stream of events: a snapshot, then changes, one JSON document a line. It ends
//! when the runner shuts down, after the last instance: the tunnel waits for what is on it.

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::stream;
use helix_proto::runner::RunnerEvent;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::handle::Handle;

/// What the stream has still to do.
enum Next {
    Snapshot,
    Changes,
}

pub(super) fn stream(handle: Handle) -> Response {
    // Subscribed before the snapshot is made, so that nothing falls between.
    let events = handle.subscribe();
    let lines = stream::unfold(
        (handle, events, Next::Snapshot),
        |(handle, mut events, next)| async move {
            let event = match next {
                Next::Snapshot => RunnerEvent::Snapshot {
                    info: handle.info().await,
                },
                Next::Changes => changed(&handle, &mut events).await?,
            };
            Some((line(&event), (handle, events, Next::Changes)))
        },
    );
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response()
}

/// The next change. A reader that was too slow to see them all gets everything
/// again. The end comes after what is still to be read.
async fn changed(
    handle: &Handle,
    events: &mut broadcast::Receiver<RunnerEvent>,
) -> Option<RunnerEvent> {
    let event = tokio::select! {
        biased;
        event = events.recv() => event,
        () = handle.over() => return None,
    };
    match event {
        Ok(event) => Some(event),
        Err(RecvError::Lagged(_)) => {
            *events = events.resubscribe();
            Some(RunnerEvent::Snapshot {
                info: handle.info().await,
            })
        }
        Err(RecvError::Closed) => None,
    }
}

fn line(event: &RunnerEvent) -> serde_json::Result<Bytes> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(line.into())
}
