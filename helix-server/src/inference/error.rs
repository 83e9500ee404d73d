//! Why a request was not answered, in this crate's terms and in OpenAI's.

use std::{fmt, time::Duration};

use helix_base::{Retry, Retryability};
use helix_proto::openai::{BodyError, ErrorBody, ErrorDetail};
use http::StatusCode;

/// Names shown in a message; the rest is counted.
const NAMES_SHOWN: usize = 20;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body cannot be routed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// No model of that name is registered and no provider offers it.
    #[error("the model `{model}` does not exist; {available}")]
    UnknownModel {
        /// What was asked for.
        model: String,
        /// What there is.
        available: Available,
    },
    /// Too many wait already.
    #[error("{reason}")]
    QueueFull {
        /// Which bound was reached.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// Nothing can serve the model now.
    #[error("{reason}; {available}")]
    Unavailable {
        /// What was asked for.
        model: String,
        /// Why it cannot.
        reason: String,
        /// What could be asked instead.
        available: Available,
        /// When it may be otherwise, where that is known.
        retry_after: Option<Duration>,
    },
    /// It waited as long as it may.
    #[error("gave up after {} s in the queue, waiting for: {waited_for}", waited.as_secs_f32())]
    Deadline {
        /// How long it waited.
        waited: Duration,
        /// What for.
        waited_for: String,
    },
    /// Somebody took it out of the queue.
    #[error("the request was cancelled: {reason}")]
    Cancelled {
        /// Who or what did.
        reason: String,
    },
    /// The engine or provider could not be reached, or broke off.
    #[error("{who} did not answer: {reason}")]
    Upstream {
        /// Which one.
        who: String,
        /// What happened.
        reason: String,
    },
    /// The engine or provider broke off in the middle of its answer.
    #[error("{who} broke off in the middle of the answer: {reason}")]
    Cut {
        /// Which one.
        who: String,
        /// What happened.
        reason: String,
    },
    /// The engine or provider said nothing for too long.
    #[error("{who} said nothing for {} s", after.as_secs())]
    Silent {
        /// Which one.
        who: String,
        /// How long.
        after: Duration,
    },
    /// The client read nothing for too long.
    #[error("the client read nothing for {} s", after.as_secs())]
    Stalled {
        /// How long.
        after: Duration,
    },
}

/// What could be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Available(pub Vec<String>);

impl fmt::Display for Available {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((last, rest)) = self
            .0
            .iter()
            .take(NAMES_SHOWN)
            .collect::<Vec<_>>()
            .split_last()
            .map(|(last, rest)| (last.to_string(), rest.to_vec()))
        else {
            return f
                .write_str("no other model is available: register one, or configure a provider");
        };
        f.write_str("available: ")?;
        for name in rest {
            write!(f, "{name}, ")?;
        }
        f.write_str(&last)?;
        match self.0.len().checked_sub(NAMES_SHOWN) {
            Some(more @ 1..) => write!(f, " and {more} more"),
            _ => Ok(()),
        }
    }
}

impl Error {
    /// The status of an answer that had not begun.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Body(BodyError::Json(_)) => StatusCode::BAD_REQUEST,
            Self::Body(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UnknownModel { .. } => StatusCode::NOT_FOUND,
            Self::QueueFull { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } | Self::Cancelled { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline { .. } | Self::Silent { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Upstream { .. } | Self::Cut { .. } => StatusCode::BAD_GATEWAY,
            Self::Stalled { .. } => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// When to try again, where that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after, .. } => Some(*retry_after),
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The error in OpenAI's shape.
    pub fn to_openai(&self) -> ErrorBody {
        let (kind, code, param) = match self {
            Self::Body(error) => ("invalid_request_error", None, error.field()),
            Self::UnknownModel { .. } => (
                "invalid_request_error",
                Some("model_not_found"),
                Some("model"),
            ),
            Self::QueueFull { .. } => ("rate_limit_error", Some("queue_full"), None),
            Self::Unavailable { .. } => ("server_error", Some("model_unavailable"), Some("model")),
            Self::Deadline { .. } => ("server_error", Some("queue_timeout"), None),
            Self::Cancelled { .. } => ("server_error", Some("cancelled"), None),
            Self::Upstream { .. } => ("server_error", Some("upstream_unreachable"), None),
            Self::Cut { .. } => ("server_error", Some("upstream_cut"), None),
            Self::Silent { .. } => ("server_error", Some("upstream_timeout"), None),
            Self::Stalled { .. } => ("invalid_request_error", Some("client_stalled"), None),
        };
        ErrorBody {
            error: ErrorDetail {
                message: self.to_string(),
                r#type: kind.to_owned(),
                param: param.map(str::to_owned),
                code: code.map(str::to_owned),
            },
        }
    }
}

impl Retry for Error {
    fn retryability(&self) -> Retryability {
        match self {
            Self::Body(_) | Self::UnknownModel { .. } | Self::Stalled { .. } => {
                Retryability::Permanent
            }
            other => other
                .retry_after()
                .map_or(Retryability::Transient, Retryability::After),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_what_is_available_and_counts_what_it_leaves_out() {
        let names = |n: usize| Available((0..n).map(|i| format!("m{i}")).collect());
        assert_eq!(
            names(0).to_string(),
            "no other model is available: register one, or configure a provider"
        );
        assert_eq!(names(2).to_string(), "available: m0, m1");
        assert!(names(25).to_string().ends_with("m18, m19 and 5 more"));
    }

    #[test]
    fn an_unknown_model_is_what_openai_clients_expect() {
        let error = Error::UnknownModel {
            model: "nope".into(),
            available: Available(vec!["tiny".into()]),
        };
        assert_eq!(error.status(), StatusCode::NOT_FOUND);
        let body = error.to_openai().error;
        assert_eq!(body.code.as_deref(), Some("model_not_found"));
        assert_eq!(
            body.message,
            "the model `nope` does not exist; available: tiny"
        );
    }
}
