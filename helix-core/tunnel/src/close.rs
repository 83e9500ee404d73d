//! Why a tunnel ended: WebSocket close codes that mean something.

use std::fmt;

use crate::transport::TransportError;

/// Longest reason that a WebSocket close frame can carry, in bytes.
const MAX_REASON: usize = 123;

/// A WebSocket close code (RFC 6455, section 7.4; 4000 to 4999 are ours).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// Done, nothing was wrong.
    pub const NORMAL: Self = Self(1000);
    /// The side that closes is shutting down; dial again.
    pub const GOING_AWAY: Self = Self(1001);
    /// The other side broke a protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// The other side sent a kind of message that a tunnel does not have.
    pub const UNSUPPORTED: Self = Self(1003);
    /// The other side sent a message that is too large.
    pub const TOO_BIG: Self = Self(1009);
    /// The control plane restarts; dial again.
    pub const RESTARTING: Self = Self(4000);
    /// A newer connection with the same credential took over; do not dial again.
    pub const SUPERSEDED: Self = Self(4001);
    /// The credential was revoked; do not dial again.
    pub const REVOKED: Self = Self(4003);
    /// A newer connection of the same agent is there already.
    pub const STALE: Self = Self(4002);
    /// The resumption is not for this credential or this secret.
    pub const RESUME_REFUSED: Self = Self(4005);
    /// The connection is for a lane that nobody asked for.
    pub const UNEXPECTED_LANE: Self = Self(4006);
    /// The other side stopped answering heartbeats; dial again.
    pub const SILENT: Self = Self(4008);

    /// Whether a proxy or load balancer said it, not the other end: the codes that
    /// gateways use, and those that stand for no code at all.
    pub(crate) const fn is_from_the_middle(self) -> bool {
        matches!(self.0, 1005 | 1006 | 1011..=1015)
    }

    /// Whether an agent that was closed with this code must stay away.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::SUPERSEDED | Self::REVOKED)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a tunnel ended, as this side knows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed by this side: {reason} ({code})")]
    Local {
        /// The code that was sent.
        code: CloseCode,
        /// For people.
        reason: String,
    },
    /// The other side closed it.
    #[error("closed by the other side: {reason} ({code})")]
    Peer {
        /// The code that was received.
        code: CloseCode,
        /// What the other side said.
        reason: String,
    },
    /// The connection broke without a word.
    #[error("connection lost: {error}")]
    Lost {
        /// What the operating system or the transport said.
        error: String,
    },
}

impl CloseReason {
    /// This side's own reason, cut to what a close frame can carry.
    pub(crate) fn local(code: CloseCode, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(MAX_REASON));
        Self::Local { code, reason }
    }

    /// The other end does not know the link any more.
    pub(crate) fn forgotten() -> Self {
        Self::Lost {
            error: "the control plane has lost this tunnel, as after a restart".to_owned(),
        }
    }

    pub(crate) fn hung_up() -> Self {
        Self::Lost {
            error: "the other side hung up".to_owned(),
        }
    }

    /// The close code, where there was one.
    pub const fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Local { code, .. } | Self::Peer { code, .. } => Some(*code),
            Self::Lost { .. } => None,
        }
    }

    /// Whether the other side said to stay away.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Peer { code, .. } if code.is_final())
    }
}

impl From<TransportError> for CloseReason {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Io(error) => Self::Lost {
                error: error.to_string(),
            },
            TransportError::TooBig => Self::local(CloseCode::TOO_BIG, error.to_string()),
            TransportError::Protocol(what) => Self::local(CloseCode::PROTOCOL, what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_takeover_and_revocation_by_the_other_side_are_final() {
        let peer = |code| CloseReason::Peer {
            code,
            reason: String::new(),
        };
        assert!(peer(CloseCode::SUPERSEDED).is_final());
        assert!(peer(CloseCode::REVOKED).is_final());
        assert!(!peer(CloseCode::GOING_AWAY).is_final());
        assert!(!peer(CloseCode::RESTARTING).is_final());
        assert!(!CloseReason::local(CloseCode::SUPERSEDED, "").is_final());
        assert!(
            !CloseReason::Lost {
                error: String::new()
            }
            .is_final()
        );
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let CloseReason::Local { reason, .. } =
            CloseReason::local(CloseCode::NORMAL, "é".repeat(100))
        else {
            panic!("local")
        };
        assert_eq!(reason.len(), 122);
    }
}
