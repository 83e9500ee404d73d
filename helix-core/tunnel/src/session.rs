//! What both ends of a tunnel share: settings, tasks, and the way a connection ends.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use helix_base::TaskGroup;
use hyper::rt::Executor;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    CloseCode, CloseReason,
    handle::Handle,
    io::Parting,
    transport::{Message, Transport},
};

/// How long the other side may take over its part of a close.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How long to listen for the other side's reason after HTTP/2 has ended by itself.
const LISTEN_FOR: Duration = Duration::from_secs(1);

/// Runs hyper's tasks in a group.
#[derive(Debug, Clone)]
pub(crate) struct InGroup(pub(crate) TaskGroup);

impl<F> Executor<F> for InGroup
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn("http2", task);
    }
}

/// Ends a connection whose HTTP/2 is over: says why or hears why, and waits a moment for
/// the other side, so that a deliberate close is always read. `otherwise` is this side's
/// reason where neither has one yet.
pub(crate) async fn finish(
    given_back: oneshot::Receiver<Parting>,
    handle: &Arc<Handle>,
    otherwise: CloseReason,
) -> CloseReason {
    // A link that ends while it has no connection has nobody to tell.
    if let Ok(Ok(parting)) = timeout(CLOSE_WITHIN, given_back).await
        && let Some(mut transport) = parting.into_transport()
    {
        let transport = &mut *transport;
        if !handle.has_ended()
            && let Ok(heard) = timeout(LISTEN_FOR, listen(transport)).await
        {
            handle.end(heard);
        }
        let reason = handle.end(otherwise.clone());
        // Whatever the other side does not do in time, it does without us.
        let _ = timeout(CLOSE_WITHIN, say_goodbye(transport, &reason)).await;
    }
    handle.end(otherwise);
    handle.finish()
}

/// The other side's reason, passing over what else arrives.
async fn listen(transport: &mut dyn Transport) -> CloseReason {
    poll_fn(|cx| {
        loop {
            match std::task::ready!(transport.poll_receive(cx)) {
                Some(Ok(Message::Close(code, reason))) => {
                    return Poll::Ready(CloseReason::Peer { code, reason });
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    return Poll::Ready(CloseReason::Lost {
                        error: error.to_string(),
                    });
                }
                None => return Poll::Ready(CloseReason::hung_up()),
            }
        }
    })
    .await
}

/// Refuses a connection that never became a link's own.
pub(crate) async fn refuse(mut transport: Box<dyn Transport>, reason: &CloseReason) {
    // Whatever the other side does not do in time, it does without us.
    let _ = timeout(CLOSE_WITHIN, say_goodbye(&mut *transport, reason)).await;
}

async fn say_goodbye(transport: &mut dyn Transport, reason: &CloseReason) {
    match reason {
        CloseReason::Lost { .. } => return,
        // The transport answers a close by itself.
        CloseReason::Peer { .. } => {}
        CloseReason::Local { code, reason } => {
            if transport
                .start_send(Message::Close(*code, reason.clone()))
                .is_err()
            {
                return;
            }
        }
    }
    // A close that was answered reads as an error here; either way all is said.
    let _ = poll_fn(|cx| transport.poll_flush(cx)).await;
    poll_fn(|cx| transport.poll_discard(cx)).await;
}

/// This side's reason when HTTP/2 ended with an error that nobody else explains.
pub(crate) fn broken(error: &hyper::Error) -> CloseReason {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    CloseReason::local(CloseCode::PROTOCOL, text)
}
