//! The body of an answer from inside a sandbox.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::sandbox::InUse;

/// An answer on its way. While it lives the sandbox is in use; dropping it closes the
/// connection, and so tells what runs inside.
#[derive(Debug)]
pub(super) struct Watched {
    body: Incoming,
    _in_use: InUse,
}

impl Watched {
    pub(super) const fn new(body: Incoming, in_use: InUse) -> Self {
        Self {
            body,
            _in_use: in_use,
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
