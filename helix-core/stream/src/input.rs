//! What viewers do with a desktop.

use std::fmt;

use helix_proto::desktop::{Button, Key, Point, TouchPhase};

use crate::Error;

/// One thing that a viewer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A key goes down or up.
    Key {
        /// Which.
        key: Key,
        /// Whether it goes down.
        down: bool,
    },
    /// Text that was composed elsewhere, typed as it is.
    Text(String),
    /// The pointer goes there.
    Move(Point),
    /// The pointer goes this much further, in pixels.
    MoveBy {
        /// To the right.
        dx: i16,
        /// Down.
        dy: i16,
    },
    /// A button of the pointer goes down or up.
    Button {
        /// Which.
        button: Button,
        /// Whether it goes down.
        down: bool,
    },
    /// The wheel, in 120ths of a notch.
    Wheel {
        /// To the right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// A finger.
    Touch {
        /// What it does.
        phase: TouchPhase,
        /// Which.
        finger: u8,
        /// Where.
        at: Point,
    },
}

/// Where input goes.
///
/// # Contract
///
/// - Inputs are done in the order in which they are given.
/// - [`send`](Self::send) does not block: it is called by whoever reads a viewer's socket.
/// - An input that the desktop cannot do is refused and changes nothing; those after it are
///   done.
/// - A key or button that went down stays down until it goes up: who holds what is the hub's
///   concern, not the sink's.
pub trait InputSink: fmt::Debug + Send + Sync + 'static {
    /// Does it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for what this desktop cannot
    /// do, such as a key that its keymap has no place for;
    /// [`ErrorKind::Ended`](crate::ErrorKind::Ended) where the desktop is gone.
    fn send(&self, input: Input) -> Result<(), Error>;
}
