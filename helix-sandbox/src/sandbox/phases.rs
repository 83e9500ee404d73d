//! How far a start has come, from the backend to the driver.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use helix_base::Clock;
use helix_isolation::Watch;
use helix_proto::sandbox::SandboxPhase;
use tokio::sync::Notify;

/// A backend that tells of more phases than these is not listened to.
const MOST: usize = 64;

#[derive(Debug)]
pub(super) struct Phases {
    clock: Arc<dyn Clock>,
    begun: Mutex<Vec<(SandboxPhase, Instant)>>,
    told: Notify,
}

impl Phases {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            begun: Mutex::default(),
            told: Notify::new(),
        }
    }

    /// Waits until a phase began.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }

    /// Those that began since the last time.
    pub(super) fn take(&self) -> Vec<(SandboxPhase, Instant)> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut begun)
    }
}

impl Watch for Phases {
    fn phase(&self, phase: SandboxPhase) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.len() < MOST {
            begun.push((phase, self.clock.now()));
            self.told.notify_one();
        }
    }
}
