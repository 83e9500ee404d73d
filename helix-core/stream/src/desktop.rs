//! A desktop: what can be watched and driven.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use helix_proto::{
    desktop::{Clipboard as Content, Size},
    sandbox::desktop::DesktopWindow,
};

use crate::{Error, capture::Capture, cursor::Cursors, input::InputSink};

/// What was copied, both ways.
///
/// # Contract
///
/// - [`copied`](Self::copied) gives what a program of the desktop copied, not what
///   [`put`](Self::put) put there; of several that came meanwhile, the last.
/// - Dropping [`copied`](Self::copied) loses nothing.
/// - What is put can be pasted until something else is copied, and already by a key that goes
///   down when [`put`](Self::put) has returned.
/// - Contents of other kinds than the protocol has, and beyond its bounds, do not come.
#[async_trait]
pub trait Clipboard: fmt::Debug + Send + Sync + 'static {
    /// Waits for what is copied next.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ended`](crate::ErrorKind::Ended) where the desktop is gone.
    async fn copied(&self) -> Result<Content, Error>;

    /// Puts something there, and returns when it is there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ended`](crate::ErrorKind::Ended) where the desktop is gone.
    async fn put(&self, content: Content) -> Result<(), Error>;
}

/// The windows of a desktop.
///
/// # Contract
///
/// - [`list`](Self::list) gives those that are open, 1,000 at most. What programs call them is
///   bounded, and has no control characters.
/// - A window keeps its number for as long as it is open, and no other has it after it.
/// - When [`focus`](Self::focus) has returned, keys go to the window, on whichever workspace it
///   is. [`close`](Self::close) asks the program to close it, which may ask back.
#[async_trait]
pub trait Windows: fmt::Debug + Send + Sync + 'static {
    /// Those that are open.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ended`](crate::ErrorKind::Ended) where the desktop is gone.
    async fn list(&self) -> Result<Vec<DesktopWindow>, Error>;

    /// Has keys go to a window.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where no window has this number.
    async fn focus(&self, id: u64) -> Result<(), Error>;

    /// Asks a window to close.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where no window has this number.
    async fn close(&self, id: u64) -> Result<(), Error>;
}

/// A desktop that runs.
///
/// # Contract
///
/// - Several captures may be opened, and each is closed by dropping it.
/// - [`resize`](Self::resize) returns when the desktop has the size, and captures give
///   pictures of it from then on. Resizing to what it is does nothing.
/// - [`ended`](Self::ended) waits until the desktop is gone and says why; everything else
///   fails from then on with [`ErrorKind::Ended`](crate::ErrorKind::Ended).
/// - Dropping the last of it ends what it has started.
#[async_trait]
pub trait Desktop: fmt::Debug + Send + Sync + 'static {
    /// Of the picture, now.
    fn size(&self) -> Size;

    /// Opens a capture.
    ///
    /// # Errors
    ///
    /// Where the desktop is gone, or gives no pictures.
    async fn capture(&self) -> Result<Box<dyn Capture>, Error>;

    /// Where input goes.
    fn input(&self) -> Arc<dyn InputSink>;

    /// What was copied; none where the desktop has no clipboard.
    fn clipboard(&self) -> Option<Arc<dyn Clipboard>>;

    /// What its pointer looks like; none where that is not known, and the viewer shows its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ended`](crate::ErrorKind::Ended) where the desktop is gone.
    async fn cursors(&self) -> Result<Option<Box<dyn Cursors>>, Error> {
        Ok(None)
    }

    /// Its windows; none where it cannot tell of them.
    fn windows(&self) -> Option<Arc<dyn Windows>> {
        None
    }

    /// Changes its size.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a size that it cannot
    /// have.
    async fn resize(&self, size: Size) -> Result<(), Error>;

    /// Waits until it is gone, and says why.
    async fn ended(&self) -> Error;
}
