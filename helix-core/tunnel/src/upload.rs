//! A request's body that stops when nobody waits for the response any more.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
};

use axum::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

/// Held by whoever waits for the response. When it goes, the upload fails, and HTTP/2
/// resets the stream.
#[derive(Debug)]
pub(crate) struct Waiting {
    _gone: Option<oneshot::Sender<()>>,
}

/// The response is not waited for any more.
#[derive(Debug, thiserror::Error)]
#[error("the request was cancelled")]
struct Cancelled;

/// The body.
struct Upload<B> {
    body: B,
    gone: oneshot::Receiver<()>,
}

/// Ties a body to its response. One that is over already needs no tie.
pub(crate) fn tied<B>(body: B) -> (Waiting, axum::body::Body)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return (Waiting { _gone: None }, axum::body::Body::new(body));
    }
    let (sender, gone) = oneshot::channel();
    let body = Upload {
        body: Box::pin(body),
        gone,
    };
    let waiting = Waiting {
        _gone: Some(sender),
    };
    (waiting, axum::body::Body::new(body))
}

impl<B> Body for Upload<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if pin!(&mut this.gone).poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Cancelled.into())));
        }
        Pin::new(&mut this.body).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
