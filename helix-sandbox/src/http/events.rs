//! The stream of events: a snapshot, then changes, one JSON document a line.

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::stream;
use helix_proto::sandbox::host::HostEvent;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::Handle;

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
                Next::Snapshot => snapshot(&handle).await,
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

async fn snapshot(handle: &Handle) -> HostEvent {
    HostEvent::Snapshot {
        info: handle.info().await,
        sandboxes: handle.statuses(),
    }
}

/// The next change. A reader that was too slow to see them all gets everything again. The
/// stream ends when the host drains, so that a shutdown does not wait for it.
async fn changed(
    handle: &Handle,
    events: &mut broadcast::Receiver<HostEvent>,
) -> Option<HostEvent> {
    let tasks = &handle.sandboxes.shared().tasks;
    let received = tokio::select! {
        received = events.recv() => received,
        () = tasks.draining() => return None,
    };
    match received {
        Ok(event) => Some(event),
        Err(RecvError::Lagged(_)) => {
            *events = events.resubscribe();
            Some(snapshot(handle).await)
        }
        Err(RecvError::Closed) => None,
    }
}

fn line(event: &HostEvent) -> serde_json::Result<Bytes> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(line.into())
}
