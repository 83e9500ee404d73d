//! Pictures by ext-image-copy-capture.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use helix_base::Clock;
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_manager_v1::Options;

use super::{
    capture::shot,
    copying::{Globals, Said, Session, Step},
    line::{self, Line},
};
use crate::{
    Error, ErrorKind,
    capture::{Capture, Shot, Want},
};

/// A copy fails when the output changes meanwhile: it is tried again, this often in a row.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(20);

/// Pictures of a compositor's first output, by ext-image-copy-capture.
pub struct CopyCapture {
    line: Line<Said>,
    globals: Globals,
    session: Option<Session>,
    /// Whether the frame that is asked for comes whether anything changes or not.
    is_first: bool,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for CopyCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyCapture").finish_non_exhaustive()
    }
}

impl CopyCapture {
    /// Connects to the compositor that listens at `socket`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where the compositor lacks the protocol; other kinds where
    /// nobody listens there.
    pub async fn connect(socket: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let fresh = line::connect::<Said>(socket).await?;
        let globals = Globals::bind(&fresh)?;
        Ok(Self {
            line: fresh.with(Said::default())?,
            globals,
            session: None,
            is_first: false,
            clock,
        })
    }

    /// The session; a new one where a picture is wanted that has not changed, since only the
    /// first of a session comes then.
    fn session(&mut self, want: Want) {
        if self.session.is_some() && (want == Want::Changed || self.is_first) {
            return;
        }
        self.session = None;
        let Globals {
            manager,
            source,
            queue,
            ..
        } = &self.globals;
        // Without the pointer.
        let make = |number| manager.create_session(source, Options::empty(), queue, number);
        self.session = Some(Session::begin(&mut self.line.state, make));
        self.is_first = true;
    }

    /// Waits for a copy; when it was to be seen, where that is known.
    async fn copied(&mut self, want: Want) -> Result<Option<Duration>, Error> {
        self.session(want);
        let mut tries = 0;
        loop {
            let Some(session) = &mut self.session else {
                return Err(Error::new(ErrorKind::Failed, "a picture without a session"));
            };
            match session.step(&mut self.line.state, &self.globals)? {
                Step::Wait => self.line.dispatch().await?,
                Step::Ready(at) => {
                    self.is_first = false;
                    return Ok(at);
                }
                Step::Failed => {
                    tries += 1;
                    if tries == TRIES {
                        let why =
                            format!("the compositor failed to copy its picture {TRIES} times");
                        return Err(Error::new(ErrorKind::Failed, why));
                    }
                    tokio::time::sleep(BETWEEN).await;
                }
            }
        }
    }
}

#[async_trait]
impl Capture for CopyCapture {
    async fn next(&mut self, want: Want) -> Result<Shot<'_>, Error> {
        let at = self.copied(want).await?;
        let memory = self.session.as_ref().and_then(Session::memory);
        let memory =
            memory.ok_or_else(|| Error::new(ErrorKind::Failed, "a picture without memory"))?;
        shot(memory, at, &*self.clock)
    }
}
