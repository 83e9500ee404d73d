//! Where requests for an instance go, and whether they may.

use std::sync::{Arc, PoisonError, RwLock};

use helix_base::{ExposeSecret as _, SecretString};
use http::HeaderValue;
use url::Url;

use super::{Flight, InFlight};

/// An engine that takes requests.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    /// The base of its API, without a slash at the end.
    pub(crate) base: String,
    /// What it asks of its clients.
    pub(crate) authorization: Option<HeaderValue>,
    /// It runs on this machine, below this runner.
    pub(crate) local: bool,
}

impl Upstream {
    pub(crate) fn new(url: &Url, key: Option<&SecretString>, local: bool) -> Self {
        let authorization = key.and_then(|key| {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self {
            base: url.as_str().trim_end_matches('/').to_owned(),
            authorization,
            local,
        }
    }
}

/// Lets requests through while the instance is ready. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate {
    upstream: Arc<RwLock<Option<Arc<Upstream>>>>,
    flight: Flight,
}

impl Gate {
    /// The engine, and a guard to be kept for as long as its answer is read;
    /// nothing when the instance is not ready.
    pub(crate) fn enter(&self) -> Option<(Arc<Upstream>, InFlight)> {
        // Counted while the gate is held, so that whoever closes it and then
        // sees nobody in flight knows that nobody comes after.
        let upstream = self.upstream.read().unwrap_or_else(PoisonError::into_inner);
        upstream
            .as_ref()
            .map(|upstream| (Arc::clone(upstream), self.flight.begin()))
    }

    pub(super) fn set(&self, upstream: Option<Upstream>) {
        *self
            .upstream
            .write()
            .unwrap_or_else(PoisonError::into_inner) = upstream.map(Arc::new);
    }

    pub(super) async fn quiet(&self) {
        self.flight.quiet().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_gate_is_quiet_once_the_last_request_has_ended() {
        let gate = Gate::default();
        assert!(gate.enter().is_none());
        let url = Url::parse("http://127.0.0.1:1/").unwrap();
        gate.set(Some(Upstream::new(&url, None, true)));
        let (upstream, in_flight) = gate.enter().unwrap();
        assert_eq!(upstream.base, "http://127.0.0.1:1");
        gate.set(None);
        assert!(gate.enter().is_none());
        let mut quiet = std::pin::pin!(gate.quiet());
        assert!(futures_util::poll!(&mut quiet).is_pending());
        drop(in_flight);
        quiet.await;
    }
}
