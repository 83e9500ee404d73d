//! The fields of each message down, in their order.

use bytes::{BufMut as _, Bytes};

use super::{
    AUDIO, Audio, CURSOR, Cursor, FRAME, Frame, FrameFlags, HELLO, Hello, HelloFlags, Image,
    NoticeCode, PATCH, PRESENCE, Patch, Piece, Presence, PresenceFlags, STATS, STILL, Stats, Still,
};
use crate::desktop::{
    Error, MAX_PATCH, Micros, VERSION,
    wire::{Reader, Writer},
};

/// The bit, where the flag is set.
const fn bit(flag: bool, bit: u8) -> u8 {
    if flag { bit } else { 0 }
}

impl Hello {
    pub(super) fn write(&self) -> Result<Writer, Error> {
        let room = self.encoder.len() + self.config.len();
        let mut writer = Writer::new("Hello", HELLO, room);
        writer.bytes.put_u16(VERSION);
        writer.bytes.put_u32(self.viewer);
        writer.bytes.put_u8(self.codec as u8);
        writer.str8("encoder", &self.encoder)?;
        writer.str8("config", &self.config)?;
        writer.size(self.size);
        let HelloFlags {
            audio,
            clipboard,
            controls,
        } = self.flags;
        let flags = bit(audio, 1) | bit(clipboard, 2) | bit(controls, 4);
        writer.bytes.put_u8(flags);
        Ok(writer)
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        reader.version()?;
        Ok(Self {
            viewer: reader.u32("viewer")?,
            codec: reader.codec()?,
            encoder: reader.str8("encoder")?,
            config: reader.str8("config")?,
            size: reader.size()?,
            flags: {
                let flags = reader.flags(7)?;
                HelloFlags {
                    audio: flags & 1 != 0,
                    clipboard: flags & 2 != 0,
                    controls: flags & 4 != 0,
                }
            },
        })
    }
}

impl Frame {
    pub(super) fn write(&self) -> Result<Writer, Error> {
        let mut writer = Writer::new("Frame", FRAME, self.picture.len());
        writer.bytes.put_u32(self.sequence);
        writer.bytes.put_u64(self.captured.0);
        let flags = bit(self.flags.key, 1) | bit(self.flags.recovery, 2);
        writer.bytes.put_u8(flags);
        writer.size(self.size);
        writer.something("picture", &self.picture)?;
        Ok(writer)
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        Ok(Self {
            sequence: reader.u32("sequence")?,
            captured: Micros(reader.u64("captured")?),
            flags: {
                let flags = reader.flags(3)?;
                FrameFlags {
                    key: flags & 1 != 0,
                    recovery: flags & 2 != 0,
                }
            },
            size: reader.size()?,
            picture: reader.something("picture")?,
        })
    }
}

impl Still {
    pub(super) fn write(&self) -> Result<Writer, Error> {
        let mut writer = Writer::new("Still", STILL, self.jpeg.len());
        writer.bytes.put_u32(self.sequence);
        writer.bytes.put_u64(self.captured.0);
        writer.size(self.size);
        writer.something("JPEG", &self.jpeg)?;
        Ok(writer)
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        Ok(Self {
            sequence: reader.u32("sequence")?,
            captured: Micros(reader.u64("captured")?),
            size: reader.size()?,
            jpeg: reader.something("JPEG")?,
        })
    }
}

impl Patch {
    pub(super) fn write(&self) -> Result<Writer, Error> {
        let mut writer = Writer::new("Patch", PATCH, 8 * self.pieces.len() + self.qoi.len());
        writer.bytes.put_u32(self.sequence);
        writer.bytes.put_u64(self.captured.0);
        writer.count("pieces", self.pieces.len())?;
        for Piece { x, y, size } in &self.pieces {
            writer.bytes.put_u16(*x);
            writer.bytes.put_u16(*y);
            writer.size(*size);
        }
        self.check()?;
        writer.something("QOI", &self.qoi)?;
        Ok(writer)
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        let sequence = reader.u32("sequence")?;
        let captured = Micros(reader.u64("captured")?);
        let count = reader.u8("count")?;
        let piece = |_| {
            Ok(Piece {
                x: reader.u16("x")?,
                y: reader.u16("y")?,
                size: reader.size()?,
            })
        };
        let pieces = (0..count).map(piece).collect::<Result<_, Error>>()?;
        let mut patch = Self {
            sequence,
            captured,
            pieces,
            qoi: Bytes::new(),
        };
        patch.check()?;
        patch.qoi = reader.something("QOI")?;
        Ok(patch)
    }

    /// There is something in it, and not too much.
    fn check(&self) -> Result<(), Error> {
        let pieces = self.pieces.iter();
        let pixels: usize = pieces.map(|piece| piece.size.pixels()).sum();
        if (1..=MAX_PATCH).contains(&pixels) {
            return Ok(());
        }
        Err(Error::Value {
            message: "Patch",
            field: "number of pixels",
            value: u32::try_from(pixels).unwrap_or(u32::MAX),
        })
    }
}

impl Cursor {
    pub(super) fn write(&self) -> Result<Writer, Error> {
        let mut writer = Writer::new("Cursor", CURSOR, 0);
        match self {
            Self::Hidden => writer.bytes.put_u64(0),
            Self::Image(image) => {
                writer.bytes.put_u16(image.hotspot_x);
                writer.bytes.put_u16(image.hotspot_y);
                writer.size(image.size);
                writer.something("PNG", &image.png)?;
            }
        }
        Ok(writer)
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        let (hotspot_x, hotspot_y) = (reader.u16("hotspot x")?, reader.u16("hotspot y")?);
        let (width, height) = (reader.u16("width")?, reader.u16("height")?);
        if (width, height) == (0, 0) {
            return Ok(Self::Hidden);
        }
        Ok(Self::Image(Image {
            hotspot_x,
            hotspot_y,
            size: reader.sized(width, height)?,
            png: reader.something("PNG")?,
        }))
    }
}

impl Presence {
    pub(super) fn write(present: &[Self]) -> Result<Writer, Error> {
        let mut writer = Writer::new("Presence", PRESENCE, present.len() * 40);
        writer.count("count", present.len())?;
        for one in present {
            writer.bytes.put_u32(one.viewer);
            let PresenceFlags {
                controls,
                you,
                looks_on,
                pointer,
            } = one.flags;
            let flags = bit(controls, 1) | bit(you, 2) | bit(looks_on, 4) | bit(pointer, 8);
            writer.bytes.put_u8(flags);
            writer.point(one.pointer);
            writer.str8("name", &one.name)?;
        }
        Ok(writer)
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Vec<Self>, Error> {
        let count = reader.u8("count")?;
        let mut present = Vec::with_capacity(count.into());
        for _ in 0..count {
            let viewer = reader.u32("viewer")?;
            let flags = reader.flags(15)?;
            present.push(Self {
                viewer,
                flags: PresenceFlags {
                    controls: flags & 1 != 0,
                    you: flags & 2 != 0,
                    looks_on: flags & 4 != 0,
                    pointer: flags & 8 != 0,
                },
                pointer: reader.point()?,
                name: reader.str8("name")?,
            });
        }
        Ok(present)
    }
}

impl Stats {
    pub(super) fn write(&self) -> Writer {
        let mut writer = Writer::new("Stats", STATS, 0);
        for number in [
            self.frames,
            self.dropped,
            self.encode_us,
            self.capture_us,
            self.kbits,
            self.target_kbits,
        ] {
            writer.bytes.put_u32(number);
        }
        writer.bytes.put_u16(self.viewers);
        writer
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        Ok(Self {
            frames: reader.u32("frames")?,
            dropped: reader.u32("dropped")?,
            encode_us: reader.u32("encode time")?,
            capture_us: reader.u32("capture time")?,
            kbits: reader.u32("rate")?,
            target_kbits: reader.u32("target rate")?,
            viewers: reader.u16("viewers")?,
        })
    }
}

impl NoticeCode {
    /// All of them, by number.
    const ALL: [Self; 8] = [
        Self::Well,
        Self::Starting,
        Self::CompositorEnded,
        Self::EncoderFailed,
        Self::NoEncoder,
        Self::Slow,
        Self::InputRefused,
        Self::NoSound,
    ];

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        let code = reader.u8("code")?;
        let known = Self::ALL.get(usize::from(code));
        known
            .copied()
            .ok_or_else(|| reader.wrong("code", code.into()))
    }
}

impl Audio {
    pub(super) fn write(&self) -> Result<Writer, Error> {
        let mut writer = Writer::new("Audio", AUDIO, self.opus.len());
        writer.bytes.put_u32(self.sequence);
        writer.bytes.put_u64(self.captured.0);
        writer.something("Opus", &self.opus)?;
        Ok(writer)
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        Ok(Self {
            sequence: reader.u32("sequence")?,
            captured: Micros(reader.u64("captured")?),
            opus: reader.something("Opus")?,
        })
    }
}
