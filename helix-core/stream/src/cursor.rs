//! What a desktop's pointer looks like.

use std::fmt;

use async_trait::async_trait;
use helix_proto::desktop::Cursor;

use crate::Error;

/// What a desktop's pointer looks like, apart from its pictures.
///
/// # Contract
///
/// - The first comes at once; then one comes when the pointer looks different.
/// - Of several that came meanwhile, the last.
/// - Dropping [`next`](Self::next) loses nothing.
#[async_trait]
pub trait Cursors: fmt::Debug + Send + 'static {
    /// The next look.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ended`](crate::ErrorKind::Ended) where the desktop is gone.
    async fn next(&mut self) -> Result<Cursor, Error>;
}
