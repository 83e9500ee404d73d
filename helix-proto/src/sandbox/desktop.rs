//! What programs do with the desktop of a sandbox: input, windows, recordings. (What viewers do
//! is [`crate::desktop`].)

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Actions of one request at most.
pub const MAX_ACTIONS: usize = 256;
/// Characters that one request types at most, in all of its actions.
pub const MAX_TEXT: usize = 10_000;
/// Milliseconds that one request takes at most, waits included.
pub const MAX_TOTAL_MS: u32 = 30_000;
/// Notches that one action scrolls at most, each way.
pub const MAX_NOTCHES: i16 = 100;
/// Places that one action drags along at most.
pub const MAX_PATH: usize = 256;
/// How often one action clicks, or presses keys, at most.
pub const MAX_COUNT: u8 = 100;

/// What is to be done to a desktop, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DesktopInput {
    /// 1 to 256 of them, which take half a minute at most.
    pub actions: Vec<DesktopAction>,
}

/// One thing that is done to a desktop. Whatever it presses it lets go of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub enum DesktopAction {
    /// Moves the pointer there and clicks.
    Click {
        /// Pixels from the left.
        x: u16,
        /// Pixels from the top.
        y: u16,
        /// With which button.
        #[serde(default)]
        button: MouseButton,
        /// How often: 2 is a double click. 1 to 100.
        #[serde(default = "once")]
        count: u8,
        /// What is held meanwhile.
        #[serde(default)]
        modifiers: Vec<Modifier>,
    },
    /// Moves the pointer there.
    Move {
        /// Pixels from the left.
        x: u16,
        /// Pixels from the top.
        y: u16,
    },
    /// Moves the pointer to the first place, presses, moves along the others, and lets go.
    Drag {
        /// 2 to 256 places.
        path: Vec<Position>,
        /// With which button.
        #[serde(default)]
        button: MouseButton,
        /// What is held meanwhile.
        #[serde(default)]
        modifiers: Vec<Modifier>,
        /// How long the way takes, in milliseconds, up to 10,000.
        #[serde(default = "usual_drag")]
        duration_ms: u32,
    },
    /// Turns the wheel, there where a place is given.
    Scroll {
        /// Where; where the pointer is if absent.
        #[serde(default)]
        at: Option<Position>,
        /// Notches to the right, up to 100; to the left if negative.
        #[serde(default)]
        dx: i16,
        /// Notches down, up to 100; up if negative.
        #[serde(default)]
        dy: i16,
        /// What is held meanwhile.
        #[serde(default)]
        modifiers: Vec<Modifier>,
    },
    /// Types text as it is. A line's end is the Return key, a tabulator the Tab key.
    Type {
        /// Up to 10,000 characters in all actions together, without other control characters.
        text: String,
    },
    /// Presses keys together, such as `ctrl+shift+t`, and lets go of them.
    Key {
        /// X11's names of keysyms (`Return`, `Page_Down`, `F5`, `é`), joined by `+`; also `ctrl`,
        /// `alt`, `shift`, `super`, `enter`, `esc`.
        keys: String,
        /// How often. 1 to 100.
        #[serde(default = "once")]
        count: u8,
    },
    /// Does nothing for a while.
    Wait {
        /// Milliseconds.
        ms: u32,
    },
}

const fn once() -> u8 {
    1
}

const fn usual_drag() -> u32 {
    300
}

/// A pixel of a desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Pixels from the left.
    pub x: u16,
    /// Pixels from the top.
    pub y: u16,
}

/// A button of the pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MouseButton {
    /// The first.
    #[default]
    Left,
    /// The wheel.
    Middle,
    /// The second.
    Right,
    /// Back in a history.
    Back,
    /// Forward in a history.
    Forward,
}

/// A key that is held while something else is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Modifier {
    /// Shift.
    Shift,
    /// Control.
    Ctrl,
    /// Alt.
    Alt,
    /// The key with a logo.
    Super,
}

/// All actions were done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DesktopInputDone {
    /// How many.
    pub actions: usize,
    /// How long that took.
    pub took_ms: u32,
}

/// Whether programs may act on a desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DesktopAutomation {
    /// Where they may not, actions under way end, and further ones are refused.
    pub allowed: bool,
}

/// The windows of a desktop.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DesktopWindows {
    /// In the desktop's own order; 1,000 at most.
    pub windows: Vec<DesktopWindow>,
}

/// A window. What it is called is what a program in the sandbox says: data, of 1,000 characters
/// at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DesktopWindow {
    /// Its number, for as long as it is open.
    pub id: u64,
    /// What is written on it.
    pub title: String,
    /// Of which application it is.
    pub app_id: String,
    /// The workspace that it is on.
    pub workspace: String,
    /// Whether keys go to it.
    pub focused: bool,
    /// Whether it fills the desktop.
    pub fullscreen: bool,
    /// Whether it is on a workspace that is shown.
    pub visible: bool,
    /// Where it is.
    pub rectangle: Rectangle,
}

/// A part of a desktop, in pixels. It may reach beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Rectangle {
    /// From the left.
    pub x: i32,
    /// From the top.
    pub y: i32,
    /// Across.
    pub width: u32,
    /// Down.
    pub height: u32,
}

/// Begins a recording.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecordingRequest {
    /// What the file is; MP4 if absent.
    pub format: RecordingFormat,
    /// Where, below the user's home; in `Recordings` if absent. Directories that are missing are
    /// made; a link on the way, or a file that is there already, is refused.
    pub path: Option<String>,
    /// Kilobits a second at most, 100 to 50,000; 4,000 if absent.
    pub kbits: Option<u32>,
    /// Pictures a second at most, 1 to 60; 30 if absent. Viewers of the same codec get as many as
    /// they ask for, and then the recording has those, too.
    pub fps: Option<u16>,
    /// Seconds after which it ends by itself, 1 to 14,400; 3,600 if absent.
    pub max_seconds: Option<u32>,
    /// Bytes after which it ends by itself, up to 16 GiB; 1 GiB if absent.
    pub max_bytes: Option<u64>,
}

/// What a recording's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordingFormat {
    /// MP4 with H.264, in fragments.
    #[default]
    Mp4,
    /// `WebM` with VP9.
    Webm,
}

/// The recording of a desktop that runs, or the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recording {
    /// How it is.
    pub state: RecordingState,
    /// Why it ended, or failed; empty while it runs.
    pub reason: String,
    /// What the file is.
    pub format: RecordingFormat,
    /// The file, absolute, as the sandbox's files have it.
    pub path: String,
    /// Milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// How long it is.
    pub duration_ms: u64,
    /// What it takes on the disk so far.
    pub bytes: u64,
}

/// How a recording is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// It runs.
    Recording,
    /// It has ended, and the file is whole.
    Finished,
    /// It has ended; what the file has can be played.
    Failed,
}
