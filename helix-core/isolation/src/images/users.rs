//! Who was made from an image, as whoever makes sandboxes knows it.

use std::{fmt, sync::Arc};

use crate::Error;

/// Ids of sandboxes and snapshots that were made from the content of a digest.
type Ask = dyn Fn(&str) -> Result<Vec<String>, Error> + Send + Sync;

/// Says who was made from the content of a digest. By default nobody was.
#[derive(Clone)]
pub(super) struct Users(Arc<Ask>);

impl Users {
    pub(super) fn new(
        ask: impl Fn(&str) -> Result<Vec<String>, Error> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(ask))
    }

    pub(super) fn of(&self, digest: &str) -> Result<Vec<String>, Error> {
        (self.0)(digest)
    }
}

impl Default for Users {
    fn default() -> Self {
        Self::new(|_| Ok(Vec::new()))
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}
