//! Counting requests in flight.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// How many requests an instance is answering. Cheap to clone; all clones
/// count the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flight {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    count: AtomicUsize,
    landed: Notify,
}

impl Flight {
    /// Counts one more until the answer is dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.inner.count.fetch_add(1, Ordering::AcqRel);
        InFlight {
            inner: Arc::clone(&self.inner),
        }
    }

    /// Ends when there is none in flight.
    pub(crate) async fn quiet(&self) {
        loop {
            let landed = self.inner.landed.notified();
            if self.inner.count.load(Ordering::Acquire) == 0 {
                return;
            }
            landed.await;
        }
    }
}

/// One request in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    inner: Arc<Inner>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.inner.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.inner.landed.notify_waiters();
        }
    }
}
