//! Models, queue, scheduling, providers.

use crate::{Foundation, fleet::Fleet, serve::Error};

/// Answers inference requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inference {}

impl Inference {
    /// Starts it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(_foundation: &Foundation, _fleet: &Fleet) -> Result<Self, Error> {
        Ok(Self {})
    }
}
