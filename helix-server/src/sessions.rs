//! Conversations: the log and the turn machine.

use crate::{Foundation, inference::Inference, store};

/// All conversations. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions {}

impl Sessions {
    pub(crate) async fn start(
        _foundation: &Foundation,
        _inference: &Inference,
    ) -> Result<Self, store::Error> {
        Ok(Self {})
    }
}
