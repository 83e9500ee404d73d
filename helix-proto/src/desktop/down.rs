//! Messages from the media process to a viewer.

mod fields;

use bytes::{Buf as _, BufMut as _, Bytes};

use super::{
    Clipboard, Codec, Error, MAX_DOWN, Micros, Point, Size,
    wire::{Reader, Writer, within},
};

const HELLO: u8 = 0x01;
const FRAME: u8 = 0x02;
const STILL: u8 = 0x03;
const CURSOR: u8 = 0x04;
const POINTER: u8 = 0x05;
const CLIPBOARD: u8 = 0x06;
const PRESENCE: u8 = 0x07;
const STATS: u8 = 0x08;
const PONG: u8 = 0x09;
const NOTICE: u8 = 0x0a;
const AUDIO: u8 = 0x0b;
const PATCH: u8 = 0x0c;

/// A message from the media process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    /// The first message; and again when codec or size have changed.
    Hello(Hello),
    /// A picture of the video.
    Frame(Frame),
    /// A picture by itself.
    Still(Still),
    /// What the pointer looks like.
    Cursor(Cursor),
    /// Where the desktop's own pointer is, after something other than this viewer moved it.
    Pointer(Point),
    /// What was copied in the desktop.
    Clipboard(Clipboard),
    /// Who watches; at most 255.
    Presence(Vec<Presence>),
    /// How it goes.
    Stats(Stats),
    /// The answer to a ping.
    Pong {
        /// What the ping said.
        token: u64,
        /// When it was answered.
        now: Micros,
    },
    /// Something that a person should see.
    Notice(Notice),
    /// A piece of sound.
    Audio(Audio),
    /// What has changed of the picture before, where that is little.
    Patch(Patch),
}

/// How the video is coded, and what this viewer may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The number of this viewer.
    pub viewer: u32,
    /// How pictures are coded.
    pub codec: Codec,
    /// What encodes, for people.
    pub encoder: String,
    /// The string for WebCodecs' `VideoDecoder.configure`; empty for stills.
    pub config: String,
    /// Of the desktop.
    pub size: Size,
    /// What there is.
    pub flags: HelloFlags,
}

/// What there is beside pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HelloFlags {
    /// Sound can be had.
    pub audio: bool,
    /// The clipboard is passed on.
    pub clipboard: bool,
    /// This viewer has the controls.
    pub controls: bool,
}

/// A picture of the video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Counts what this viewer is sent, from 1 on.
    pub sequence: u32,
    /// When the desktop was captured.
    pub captured: Micros,
    /// What it can be decoded without.
    pub flags: FrameFlags,
    /// Of the picture.
    pub size: Size,
    /// As the codec says; never empty.
    pub picture: Bytes,
}

/// What a frame can be decoded without.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameFlags {
    /// It needs no other.
    pub key: bool,
    /// Nothing after it needs what came before it.
    pub recovery: bool,
}

/// A picture by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    /// Counts what this viewer is sent, from 1 on.
    pub sequence: u32,
    /// When the desktop was captured.
    pub captured: Micros,
    /// Of the picture.
    pub size: Size,
    /// Never empty.
    pub jpeg: Bytes,
}

/// What has changed of the picture before, pixel by pixel: it is painted over that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Counts on from that of the picture before.
    pub sequence: u32,
    /// When the desktop was captured.
    pub captured: Micros,
    /// Where it has changed; at least one and at most 255, of [`MAX_PATCH`](super::MAX_PATCH)
    /// pixels in all.
    pub pieces: Vec<Piece>,
    /// The pieces' pixels, one piece after the other and each by rows, as a QOI image of three
    /// channels that is one pixel high; never empty.
    pub qoi: Bytes,
}

/// A part of a picture, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece {
    /// How far from the left it begins.
    pub x: u16,
    /// How far from the top it begins.
    pub y: u16,
    /// Of the piece.
    pub size: Size,
}

/// What the pointer looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// It is not to be seen.
    Hidden,
    /// This.
    Image(Image),
}

/// A picture of the pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The pixel of it that points: from its left.
    pub hotspot_x: u16,
    /// The same, from its top.
    pub hotspot_y: u16,
    /// Of the picture.
    pub size: Size,
    /// Never empty.
    pub png: Bytes,
}

/// One who watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Its number.
    pub viewer: u32,
    /// What it does.
    pub flags: PresenceFlags,
    /// Where its pointer is, if that is in the picture.
    pub pointer: Point,
    /// Its name, of 255 bytes at most.
    pub name: String,
}

/// What one does who watches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PresenceFlags {
    /// It has the controls.
    pub controls: bool,
    /// It is the one that is told.
    pub you: bool,
    /// It looks on only.
    pub looks_on: bool,
    /// Its pointer is in the picture.
    pub pointer: bool,
}

/// How it goes, in the second before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames that this viewer was sent, ever.
    pub frames: u32,
    /// Frames that were skipped for this viewer, ever.
    pub dropped: u32,
    /// How long the encoder took for a frame, in µs.
    pub encode_us: u32,
    /// How long a capture took, in µs.
    pub capture_us: u32,
    /// What this viewer was sent, in kbit/s.
    pub kbits: u32,
    /// What the encoder aims at, in kbit/s.
    pub target_kbits: u32,
    /// How many watch.
    pub viewers: u16,
}

/// Something that a person should see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub code: NoticeCode,
    /// For people; of 65,535 bytes at most.
    pub text: String,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NoticeCode {
    /// All is well again.
    Well = 0,
    /// The desktop is starting.
    Starting = 1,
    /// The compositor has ended and is started again.
    CompositorEnded = 2,
    /// The encoder has failed.
    EncoderFailed = 3,
    /// There is no encoder for what this viewer can decode.
    NoEncoder = 4,
    /// This viewer is too slow and sees fewer frames.
    Slow = 5,
    /// Input was refused.
    InputRefused = 6,
    /// There is no sound, although there should be.
    NoSound = 7,
}

/// A piece of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    /// Counts pieces.
    pub sequence: u32,
    /// When it was heard.
    pub captured: Micros,
    /// Never empty.
    pub opus: Bytes,
}

impl Down {
    /// As a message.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where it or one of its texts is beyond its bound, and
    /// [`Error::Short`] for a picture that is empty: what [`Self::decode`] would refuse.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let writer = match self {
            Self::Hello(hello) => hello.write()?,
            Self::Frame(frame) => frame.write()?,
            Self::Still(still) => still.write()?,
            Self::Cursor(cursor) => cursor.write()?,
            Self::Pointer(point) => {
                let mut writer = Writer::new("Pointer", POINTER, 0);
                writer.point(*point);
                writer
            }
            Self::Clipboard(clipboard) => {
                let room = clipboard.content().len();
                let mut writer = Writer::new("Clipboard", CLIPBOARD, room);
                writer.clipboard(clipboard)?;
                writer
            }
            Self::Presence(present) => Presence::write(present)?,
            Self::Stats(stats) => stats.write(),
            Self::Pong { token, now } => {
                let mut writer = Writer::new("Pong", PONG, 0);
                writer.bytes.put_u64(*token);
                writer.bytes.put_u64(now.0);
                writer
            }
            Self::Notice(Notice { code, text }) => {
                let mut writer = Writer::new("Notice", NOTICE, text.len());
                writer.bytes.put_u8(*code as u8);
                writer.str16("text", text)?;
                writer
            }
            Self::Audio(audio) => audio.write()?,
            Self::Patch(patch) => patch.write()?,
        };
        writer.end(MAX_DOWN)
    }

    /// From a message.
    ///
    /// # Errors
    ///
    /// What is wrong with it; see [`Error::close_code`].
    pub fn decode(mut message: Bytes) -> Result<Self, Error> {
        within("a message", message.len(), MAX_DOWN)?;
        if message.is_empty() {
            return Err(Error::Empty);
        }
        let kind = message.get_u8();
        let name = match kind {
            HELLO => "Hello",
            FRAME => "Frame",
            STILL => "Still",
            CURSOR => "Cursor",
            POINTER => "Pointer",
            CLIPBOARD => "Clipboard",
            PRESENCE => "Presence",
            STATS => "Stats",
            PONG => "Pong",
            NOTICE => "Notice",
            AUDIO => "Audio",
            PATCH => "Patch",
            _ => return Err(Error::Kind(kind)),
        };
        let mut reader = Reader::new(name, message);
        let read = match kind {
            HELLO => Self::Hello(Hello::read(&mut reader)?),
            FRAME => Self::Frame(Frame::read(&mut reader)?),
            STILL => Self::Still(Still::read(&mut reader)?),
            CURSOR => Self::Cursor(Cursor::read(&mut reader)?),
            POINTER => Self::Pointer(reader.point()?),
            CLIPBOARD => Self::Clipboard(reader.clipboard()?),
            PRESENCE => Self::Presence(Presence::read(&mut reader)?),
            STATS => Self::Stats(Stats::read(&mut reader)?),
            PONG => Self::Pong {
                token: reader.u64("token")?,
                now: Micros(reader.u64("now")?),
            },
            NOTICE => Self::Notice(Notice {
                code: NoticeCode::read(&mut reader)?,
                text: reader.str16("text")?,
            }),
            AUDIO => Self::Audio(Audio::read(&mut reader)?),
            _ => Self::Patch(Patch::read(&mut reader)?),
        };
        reader.end()?;
        Ok(read)
    }
}
