//! What can go wrong with a request over a tunnel.

use std::time::Duration;

use helix_base::{Retry, Retryability};
use http::StatusCode;

use crate::{CloseReason, Lane};

/// What can go wrong with a request over a tunnel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody is connected under this key.
    #[error("{key} is not connected")]
    NotConnected {
        /// Whom the request was for.
        key: String,
    },
    /// The tunnel has ended, before or during the request.
    #[error("the tunnel has ended: {0}")]
    Closed(CloseReason),
    /// The tunnel finishes what it has and takes nothing new.
    #[error("the tunnel is closing and takes no new requests")]
    Draining,
    /// As many requests as the tunnel allows are under way.
    #[error("{limit} requests are under way on this tunnel, which is its limit")]
    Busy {
        /// The limit.
        limit: u32,
    },
    /// A lane could not be opened. Nothing was sent, on this lane or another.
    #[error("the {lane} lane could not be opened: {reason}")]
    Lane {
        /// Which.
        lane: Lane,
        /// Why.
        reason: String,
    },
    /// The agent would not open a pipe.
    #[error("the agent refused ({status}): {reason}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its reason.
        reason: String,
    },
    /// No headers came in time.
    #[error("no response headers within {} s", after.as_secs_f32())]
    HeadersTimeout {
        /// The time that was given.
        after: Duration,
    },
    /// Nobody read the body for so long that it was given up, for the others' sake.
    #[error("the body was not read for too long and was given up")]
    Stalled,
    /// The request cannot be expressed in HTTP/2.
    #[error("not a request that can be sent: {0}")]
    Request(#[from] http::Error),
    /// The other side reset this one request, or broke HTTP/2 rules on it.
    #[error("the request failed on the tunnel: {0}")]
    Stream(#[source] hyper::Error),
}

impl Retry for Error {
    fn retryability(&self) -> Retryability {
        match self {
            Self::NotConnected { .. }
            | Self::Closed(_)
            | Self::Draining
            | Self::Lane { .. }
            | Self::HeadersTimeout { .. }
            | Self::Stream(_) => Retryability::Transient,
            Self::Busy { .. } => Retryability::After(Duration::from_secs(1)),
            Self::Refused { status, .. } if status.is_server_error() => Retryability::Transient,
            Self::Stalled | Self::Request(_) | Self::Refused { .. } => Retryability::Permanent,
        }
    }
}
