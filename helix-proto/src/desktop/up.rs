//! Messages from a viewer to the media process.

use bytes::{Buf as _, BufMut as _, Bytes};

use super::{
    Clipboard, Codec, Error, MAX_CLIPBOARD, MAX_UP, Point, Size, VERSION,
    wire::{Reader, Writer, within},
};

const HELLO: u8 = 0x81;
const PAINTED: u8 = 0x82;
const KEY: u8 = 0x83;
const TEXT: u8 = 0x84;
const MOVE: u8 = 0x85;
const MOVE_BY: u8 = 0x86;
const BUTTON: u8 = 0x87;
const WHEEL: u8 = 0x88;
const TOUCH: u8 = 0x89;
const RELEASE: u8 = 0x8a;
const RESIZE: u8 = 0x8b;
const BITRATE: u8 = 0x8c;
const VISIBLE: u8 = 0x8d;
const KEY_FRAME: u8 = 0x8e;
const TAKE_OVER: u8 = 0x8f;
const CLIPBOARD: u8 = 0x90;
const AUDIO: u8 = 0x91;
const PING: u8 = 0x92;

/// A message from a viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up {
    /// The first message.
    Hello(Greeting),
    /// What is on the screen.
    Painted {
        /// The newest frame that is.
        sequence: u32,
        /// How many wait for the decoder.
        queue: u8,
    },
    /// A key.
    Key {
        /// Which.
        key: Key,
        /// Whether it goes down.
        down: bool,
    },
    /// What an input method or an on-screen keyboard composed.
    Text(String),
    /// The pointer goes there.
    Move(Point),
    /// The pointer goes this much further, in pixels, while it is locked.
    MoveBy {
        /// To the right.
        dx: i16,
        /// Down.
        dy: i16,
    },
    /// A button of the pointer.
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
    /// Every key and button that this viewer holds is let go of.
    Release,
    /// The desktop gets this size.
    Resize(Size),
    /// The most that this viewer wants, in kbit/s; 0 is no bound.
    Bitrate(u32),
    /// Whether this viewer sees anything; if not, nothing is sent.
    Visible(bool),
    /// The decoder has lost its way.
    KeyFrame,
    /// The controls, from whoever has them.
    TakeOver,
    /// What was copied at the viewer's.
    Clipboard(Clipboard),
    /// Whether this viewer wants sound.
    Audio(bool),
    /// To be answered at once.
    Ping {
        /// Comes back.
        token: u64,
    },
}

/// Who watches, and what it can decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// It looks on only.
    pub looks_on: bool,
    /// It takes [patches](super::Patch) beside the video.
    pub patches: bool,
    /// Of what it shows the desktop in.
    pub size: Size,
    /// What it can decode, best first; 255 at most, and none for stills.
    pub codecs: Vec<Codec>,
    /// Its name for the others; of 255 bytes at most.
    pub name: String,
}

/// A key, by its place on the keyboard or by what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    code: u16,
    keysym: u32,
}

impl Key {
    /// None where both are 0.
    pub const fn new(code: u16, keysym: u32) -> Option<Self> {
        if code == 0 && keysym == 0 {
            return None;
        }
        Some(Self { code, keysym })
    }

    /// Its evdev number (`KEY_A` is 30); 0 where the keyboard has no places.
    pub const fn code(self) -> u16 {
        self.code
    }

    /// The X11 keysym of what was meant; 0 where it is not known.
    pub const fn keysym(self) -> u32 {
        self.keysym
    }
}

/// A button of the pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Button {
    /// The first.
    Left = 0,
    /// The wheel's.
    Middle = 1,
    /// For menus.
    Right = 2,
    /// At the side.
    Back = 3,
    /// At the side.
    Forward = 4,
}

/// What a finger does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TouchPhase {
    /// It begins to touch.
    Down = 0,
    /// It goes elsewhere.
    Move = 1,
    /// It is lifted.
    Up = 2,
    /// It was no touch after all.
    Cancelled = 3,
}

impl Up {
    /// As a message.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where it or one of its texts is beyond its bound.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut writer = Writer::new(self.name(), self.kind(), self.room());
        let bytes = &mut writer.bytes;
        match self {
            Self::Hello(greeting) => greeting.write(&mut writer)?,
            Self::Painted { sequence, queue } => {
                bytes.put_u32(*sequence);
                bytes.put_u8(*queue);
            }
            Self::Key { key, down } => {
                bytes.put_u16(key.code);
                bytes.put_u32(key.keysym);
                bytes.put_u8((*down).into());
            }
            Self::Text(text) => bytes.put_slice(text.as_bytes()),
            Self::Move(point) => writer.point(*point),
            Self::MoveBy { dx, dy } => {
                bytes.put_i16(*dx);
                bytes.put_i16(*dy);
            }
            Self::Button { button, down } => {
                bytes.put_u8(*button as u8);
                bytes.put_u8((*down).into());
            }
            Self::Wheel { dx, dy } => {
                bytes.put_i32(*dx);
                bytes.put_i32(*dy);
            }
            Self::Touch { phase, finger, at } => {
                bytes.put_u8(*phase as u8);
                bytes.put_u8(*finger);
                writer.point(*at);
            }
            Self::Release | Self::KeyFrame | Self::TakeOver => {}
            Self::Resize(size) => writer.size(*size),
            Self::Bitrate(kbits) => bytes.put_u32(*kbits),
            Self::Visible(on) | Self::Audio(on) => bytes.put_u8((*on).into()),
            Self::Clipboard(clipboard) => writer.clipboard(clipboard)?,
            Self::Ping { token } => bytes.put_u64(*token),
        }
        writer.end(bound(self.kind()))
    }

    /// From a message.
    ///
    /// # Errors
    ///
    /// What is wrong with it; see [`Error::close_code`].
    pub fn decode(mut message: Bytes) -> Result<Self, Error> {
        let length = message.len();
        if length == 0 {
            return Err(Error::Empty);
        }
        let kind = message.get_u8();
        within("a message", length, bound(kind))?;
        let name = name(kind).ok_or(Error::Kind(kind))?;
        let mut reader = Reader::new(name, message);
        let read = Self::read(kind, &mut reader)?;
        reader.end()?;
        Ok(read)
    }

    fn read(kind: u8, reader: &mut Reader) -> Result<Self, Error> {
        Ok(match kind {
            HELLO => Self::Hello(Greeting::read(reader)?),
            PAINTED => Self::Painted {
                sequence: reader.u32("sequence")?,
                queue: reader.u8("queue")?,
            },
            KEY => Self::Key {
                key: Key::read(reader)?,
                down: reader.switch("down")?,
            },
            TEXT => Self::Text(reader.rest_text("text")?),
            MOVE => Self::Move(reader.point()?),
            MOVE_BY => Self::MoveBy {
                dx: reader.i16("dx")?,
                dy: reader.i16("dy")?,
            },
            BUTTON => Self::Button {
                button: Button::read(reader)?,
                down: reader.switch("down")?,
            },
            WHEEL => Self::Wheel {
                dx: reader.i32("dx")?,
                dy: reader.i32("dy")?,
            },
            TOUCH => Self::Touch {
                phase: TouchPhase::read(reader)?,
                finger: reader.u8("finger")?,
                at: reader.point()?,
            },
            RELEASE => Self::Release,
            RESIZE => Self::Resize(reader.size()?),
            BITRATE => Self::Bitrate(reader.u32("kbit/s")?),
            VISIBLE => Self::Visible(reader.switch("visible")?),
            KEY_FRAME => Self::KeyFrame,
            TAKE_OVER => Self::TakeOver,
            CLIPBOARD => Self::Clipboard(reader.clipboard()?),
            AUDIO => Self::Audio(reader.switch("on")?),
            PING => Self::Ping {
                token: reader.u64("token")?,
            },
            other => return Err(Error::Kind(other)),
        })
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => HELLO,
            Self::Painted { .. } => PAINTED,
            Self::Key { .. } => KEY,
            Self::Text(_) => TEXT,
            Self::Move(_) => MOVE,
            Self::MoveBy { .. } => MOVE_BY,
            Self::Button { .. } => BUTTON,
            Self::Wheel { .. } => WHEEL,
            Self::Touch { .. } => TOUCH,
            Self::Release => RELEASE,
            Self::Resize(_) => RESIZE,
            Self::Bitrate(_) => BITRATE,
            Self::Visible(_) => VISIBLE,
            Self::KeyFrame => KEY_FRAME,
            Self::TakeOver => TAKE_OVER,
            Self::Clipboard(_) => CLIPBOARD,
            Self::Audio(_) => AUDIO,
            Self::Ping { .. } => PING,
        }
    }

    /// What is left of this where the viewer may do no more than look on, whatever it says:
    /// nothing of what acts on the desktop.
    pub fn looking_on(self) -> Option<Self> {
        match self {
            Self::Hello(greeting) => Some(Self::Hello(Greeting {
                looks_on: true,
                ..greeting
            })),
            Self::Painted { .. }
            | Self::Move(_)
            | Self::Release
            | Self::Bitrate(_)
            | Self::Visible(_)
            | Self::KeyFrame
            | Self::Audio(_)
            | Self::Ping { .. } => Some(self),
            Self::Key { .. }
            | Self::Text(_)
            | Self::MoveBy { .. }
            | Self::Button { .. }
            | Self::Wheel { .. }
            | Self::Touch { .. }
            | Self::Resize(_)
            | Self::TakeOver
            | Self::Clipboard(_) => None,
        }
    }

    /// What this kind of message is called.
    pub fn name(&self) -> &'static str {
        name(self.kind()).unwrap_or_default()
    }

    const fn room(&self) -> usize {
        match self {
            Self::Text(text) | Self::Clipboard(Clipboard::Text(text)) => text.len(),
            Self::Clipboard(Clipboard::Png(png)) => png.len(),
            _ => 0,
        }
    }
}

/// The most that a message of this kind has.
const fn bound(kind: u8) -> usize {
    match kind {
        CLIPBOARD => MAX_CLIPBOARD,
        _ => MAX_UP,
    }
}

const fn name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        HELLO => "Hello",
        PAINTED => "Painted",
        KEY => "Key",
        TEXT => "Text",
        MOVE => "Move",
        MOVE_BY => "MoveBy",
        BUTTON => "Button",
        WHEEL => "Wheel",
        TOUCH => "Touch",
        RELEASE => "Release",
        RESIZE => "Resize",
        BITRATE => "Bitrate",
        VISIBLE => "Visible",
        KEY_FRAME => "Keyframe",
        TAKE_OVER => "TakeOver",
        CLIPBOARD => "Clipboard",
        AUDIO => "Audio",
        PING => "Ping",
        _ => return None,
    })
}

impl Greeting {
    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        writer.bytes.put_u16(VERSION);
        let (looks_on, patches) = (u8::from(self.looks_on), u8::from(self.patches));
        writer.bytes.put_u8(looks_on | patches << 1);
        writer.size(self.size);
        writer.count("count", self.codecs.len())?;
        for codec in &self.codecs {
            writer.bytes.put_u8(*codec as u8);
        }
        writer.str8("name", &self.name)
    }

    fn read(reader: &mut Reader) -> Result<Self, Error> {
        reader.version()?;
        let flags = reader.flags(3)?;
        let size = reader.size()?;
        let count = reader.u8("count")?;
        let codecs = (0..count)
            .map(|_| reader.codec())
            .collect::<Result<_, _>>()?;
        Ok(Self {
            looks_on: flags & 1 != 0,
            patches: flags & 2 != 0,
            size,
            codecs,
            name: reader.str8("name")?,
        })
    }
}

impl Key {
    fn read(reader: &mut Reader) -> Result<Self, Error> {
        let (code, keysym) = (reader.u16("code")?, reader.u32("keysym")?);
        Self::new(code, keysym).ok_or_else(|| reader.wrong("code and keysym", 0))
    }
}

impl Button {
    /// All of them, by number.
    pub const ALL: [Self; 5] = [
        Self::Left,
        Self::Middle,
        Self::Right,
        Self::Back,
        Self::Forward,
    ];

    fn read(reader: &mut Reader) -> Result<Self, Error> {
        let number = reader.u8("button")?;
        let known = Self::ALL.get(usize::from(number));
        known
            .copied()
            .ok_or_else(|| reader.wrong("button", number.into()))
    }
}

impl TouchPhase {
    fn read(reader: &mut Reader) -> Result<Self, Error> {
        match reader.u8("phase")? {
            0 => Ok(Self::Down),
            1 => Ok(Self::Move),
            2 => Ok(Self::Up),
            3 => Ok(Self::Cancelled),
            other => Err(reader.wrong("phase", other.into())),
        }
    }
}
