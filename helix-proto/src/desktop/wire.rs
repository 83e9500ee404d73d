//! Fields, read and written one after the other.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::{Clipboard, Codec, Error, Point, Size, VERSION};

/// Reads a message's fields in their order.
pub(super) struct Reader {
    message: &'static str,
    rest: Bytes,
}

impl Reader {
    pub(super) const fn new(message: &'static str, rest: Bytes) -> Self {
        Self { message, rest }
    }

    fn need(&self, field: &'static str, bytes: usize) -> Result<(), Error> {
        let message = self.message;
        if self.rest.len() < bytes {
            return Err(Error::Short { message, field });
        }
        Ok(())
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, Error> {
        self.need(field, 1)?;
        Ok(self.rest.get_u8())
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, Error> {
        self.need(field, 2)?;
        Ok(self.rest.get_u16())
    }

    pub(super) fn i16(&mut self, field: &'static str) -> Result<i16, Error> {
        self.need(field, 2)?;
        Ok(self.rest.get_i16())
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, Error> {
        self.need(field, 4)?;
        Ok(self.rest.get_u32())
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, Error> {
        self.need(field, 4)?;
        Ok(self.rest.get_i32())
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, Error> {
        self.need(field, 8)?;
        Ok(self.rest.get_u64())
    }

    /// Bits, of which only those of `known` may be set.
    pub(super) fn flags(&mut self, known: u8) -> Result<u8, Error> {
        let flags = self.u8("flags")?;
        if flags & !known == 0 {
            return Ok(flags);
        }
        Err(self.wrong("flags", flags.into()))
    }

    /// 0 or 1.
    pub(super) fn switch(&mut self, field: &'static str) -> Result<bool, Error> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.wrong(field, other.into())),
        }
    }

    pub(super) fn version(&mut self) -> Result<(), Error> {
        match self.u16("version")? {
            VERSION => Ok(()),
            theirs => Err(Error::Version { theirs }),
        }
    }

    pub(super) fn codec(&mut self) -> Result<Codec, Error> {
        let number = self.u8("codec")?;
        Codec::of(number).ok_or_else(|| self.wrong("codec", number.into()))
    }

    pub(super) fn size(&mut self) -> Result<Size, Error> {
        let (width, height) = (self.u16("width")?, self.u16("height")?);
        self.sized(width, height)
    }

    pub(super) fn sized(&self, width: u16, height: u16) -> Result<Size, Error> {
        Size::new(width, height).ok_or_else(|| match Size::new(width, 1) {
            Some(_) => self.wrong("height", height.into()),
            None => self.wrong("width", width.into()),
        })
    }

    pub(super) fn point(&mut self) -> Result<Point, Error> {
        Ok(Point {
            x: self.u16("x")?,
            y: self.u16("y")?,
        })
    }

    pub(super) fn str8(&mut self, field: &'static str) -> Result<String, Error> {
        let length = self.u8(field)?.into();
        self.text(field, length)
    }

    pub(super) fn str16(&mut self, field: &'static str) -> Result<String, Error> {
        let length = self.u16(field)?.into();
        self.text(field, length)
    }

    fn text(&mut self, field: &'static str, length: usize) -> Result<String, Error> {
        self.need(field, length)?;
        let bytes = self.rest.split_to(length);
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.unlike(field, "UTF-8")),
        }
    }

    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    /// What is left, which has to be something.
    pub(super) fn something(&mut self, field: &'static str) -> Result<Bytes, Error> {
        self.need(field, 1)?;
        Ok(self.rest())
    }

    pub(super) fn rest_text(&mut self, field: &'static str) -> Result<String, Error> {
        let length = self.rest.len();
        self.text(field, length)
    }

    pub(super) fn clipboard(&mut self) -> Result<Clipboard, Error> {
        match self.str8("MIME type")?.as_str() {
            Clipboard::TEXT => Ok(Clipboard::Text(self.rest_text("content")?)),
            Clipboard::PNG => Ok(Clipboard::Png(self.rest())),
            _ => Err(self.unlike("MIME type", "one that is passed on")),
        }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Error> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(Error::Trailing {
                message: self.message,
                bytes,
            }),
        }
    }

    pub(super) const fn wrong(&self, field: &'static str, value: u32) -> Error {
        Error::Value {
            message: self.message,
            field,
            value,
        }
    }

    const fn unlike(&self, field: &'static str, expected: &'static str) -> Error {
        Error::Text {
            message: self.message,
            field,
            expected,
        }
    }
}

/// Writes a message's fields in their order.
pub(super) struct Writer {
    message: &'static str,
    pub(super) bytes: BytesMut,
}

impl Writer {
    /// With room for `rest` bytes beside the fixed fields.
    pub(super) fn new(message: &'static str, kind: u8, rest: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(64 + rest);
        bytes.put_u8(kind);
        Self { message, bytes }
    }

    pub(super) fn size(&mut self, size: Size) {
        self.bytes.put_u16(size.width());
        self.bytes.put_u16(size.height());
    }

    pub(super) fn point(&mut self, point: Point) {
        self.bytes.put_u16(point.x);
        self.bytes.put_u16(point.y);
    }

    pub(super) fn str8(&mut self, what: &'static str, text: &str) -> Result<(), Error> {
        let length = u8::try_from(text.len())
            .map_err(|_| self.too_large(what, text.len(), u8::MAX.into()))?;
        self.bytes.put_u8(length);
        self.bytes.put_slice(text.as_bytes());
        Ok(())
    }

    pub(super) fn str16(&mut self, what: &'static str, text: &str) -> Result<(), Error> {
        let length = u16::try_from(text.len())
            .map_err(|_| self.too_large(what, text.len(), u16::MAX.into()))?;
        self.bytes.put_u16(length);
        self.bytes.put_slice(text.as_bytes());
        Ok(())
    }

    /// How many there are of something, in a byte.
    pub(super) fn count(&mut self, what: &'static str, count: usize) -> Result<(), Error> {
        let written =
            u8::try_from(count).map_err(|_| self.too_large(what, count, u8::MAX.into()))?;
        self.bytes.put_u8(written);
        Ok(())
    }

    /// What has to be something.
    pub(super) fn something(&mut self, field: &'static str, rest: &[u8]) -> Result<(), Error> {
        if rest.is_empty() {
            let message = self.message;
            return Err(Error::Short { message, field });
        }
        self.bytes.put_slice(rest);
        Ok(())
    }

    pub(super) fn clipboard(&mut self, clipboard: &Clipboard) -> Result<(), Error> {
        self.str8("MIME type", clipboard.mime())?;
        self.bytes.put_slice(clipboard.content());
        Ok(())
    }

    /// The whole message, where it is within its bound.
    pub(super) fn end(self, bound: usize) -> Result<Bytes, Error> {
        within(self.message, self.bytes.len(), bound)?;
        Ok(self.bytes.freeze())
    }

    const fn too_large(&self, what: &'static str, length: usize, bound: usize) -> Error {
        Error::TooLarge {
            message: self.message,
            what,
            length,
            bound,
        }
    }
}

/// Refuses a message of more than `bound` bytes.
pub(super) const fn within(
    message: &'static str,
    length: usize,
    bound: usize,
) -> Result<(), Error> {
    if length <= bound {
        return Ok(());
    }
    Err(Error::TooLarge {
        message,
        what: "the whole",
        length,
        bound,
    })
}
