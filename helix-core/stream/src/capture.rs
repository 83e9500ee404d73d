//! Pictures of a desktop.

use std::{
    fmt,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use helix_proto::desktop::Size;

use crate::Error;

/// Which picture is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The next that differs from the one before: what has changed since then counts, even if
    /// it changed before this was asked.
    Changed,
    /// One of now, whether it differs or not.
    Now,
}

/// A picture, as it lies in the capture's memory.
#[derive(Clone, Copy)]
pub struct Shot<'a> {
    /// Rows of blue, green, red and a byte that means nothing, from the top; each begins
    /// `stride` bytes after the one before.
    pub pixels: &'a [u8],
    /// Bytes from one row to the next; at least four for each pixel of the width.
    pub stride: usize,
    /// Of the desktop at that time.
    pub size: Size,
    /// When the desktop looked like this.
    pub captured: Instant,
    /// How long it took to get it.
    pub took: Duration,
}

impl fmt::Debug for Shot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shot")
            .field("size", &self.size)
            .field("stride", &self.stride)
            .finish_non_exhaustive()
    }
}

/// Gives pictures of a desktop, without the pointer.
///
/// # Contract
///
/// - The first picture comes whether anything has changed or not.
/// - Where nothing changes, [`next`](Self::next) waits, and uses no processor time.
/// - Dropping [`next`](Self::next) loses no change: the next call gives it.
/// - A change of the desktop's size is a change: a picture of the new size comes.
/// - Several captures of one desktop do not disturb each other.
#[async_trait]
pub trait Capture: fmt::Debug + Send + 'static {
    /// The next picture. It is there until the next call.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ended`](crate::ErrorKind::Ended) where the desktop is gone; other kinds can
    /// be tried again.
    async fn next(&mut self, want: Want) -> Result<Shot<'_>, Error>;
}
