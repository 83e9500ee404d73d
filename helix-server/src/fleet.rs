//! Runners and their tunnels.

use crate::{Foundation, serve::Error};

/// All runners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {}

impl Fleet {
    /// Starts it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(_foundation: &Foundation) -> Result<Self, Error> {
        Ok(Self {})
    }
}
