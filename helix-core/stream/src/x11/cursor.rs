//! What the pointer looks like, by XFIXES.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use helix_proto::desktop::{Cursor, Image, Size};
use x11rb::protocol::{
    Event,
    xfixes::{ConnectionExt as _, CursorNotifyMask, GetCursorImageReply},
};

use super::line::{Connection, Display, Line, ask, gone, lacks};
use crate::{Error, cursor::Cursors, screenshot};

/// What an X server's pointer looks like.
pub struct X11Cursors {
    line: Line,
    /// Whether it may look different by now.
    changed: bool,
}

impl fmt::Debug for X11Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X11Cursors").finish_non_exhaustive()
    }
}

impl X11Cursors {
    /// Connects to an X server.
    ///
    /// # Errors
    ///
    /// Where nobody listens there, or the server has no XFIXES.
    pub async fn connect(display: &Display) -> Result<Self, Error> {
        let line = Line::connect(display).await?;
        let root = line.root;
        let select = move |connection: &Connection| {
            let version = connection.xfixes_query_version(5, 0).map_err(gone)?;
            version.reply().map_err(|why| lacks("XFIXES", why))?;
            let events = CursorNotifyMask::DISPLAY_CURSOR;
            let selected = connection.xfixes_select_cursor_input(root, events);
            selected.map_err(gone)?.check().map_err(gone)
        };
        ask(&line.connection, select).await?;
        Ok(Self {
            line,
            changed: true,
        })
    }

    fn note(&mut self, event: &Event) {
        self.changed |= matches!(event, Event::XfixesCursorNotify(_));
    }
}

#[async_trait]
impl Cursors for X11Cursors {
    async fn next(&mut self) -> Result<Cursor, Error> {
        loop {
            while let Some(event) = self.line.poll()? {
                self.note(&event);
            }
            if self.changed {
                break;
            }
            let event = self.line.event().await?;
            self.note(&event);
        }
        let ask_image = |connection: &Connection| {
            let asked = connection.xfixes_get_cursor_image().map_err(gone)?;
            asked.reply().map_err(gone)
        };
        let image = ask(&self.line.connection, ask_image).await?;
        self.changed = false;
        cursor(&image)
    }
}

/// One without anything to see is hidden.
fn cursor(image: &GetCursorImageReply) -> Result<Cursor, Error> {
    let is_clear = image.cursor_image.iter().all(|pixel| pixel >> 24 == 0);
    let Some(size) = Size::new(image.width, image.height).filter(|_| !is_clear) else {
        return Ok(Cursor::Hidden);
    };
    let pixels = image.cursor_image.iter();
    let rgba: Vec<u8> = pixels
        .flat_map(|pixel| screenshot::straight(pixel.to_be_bytes()))
        .collect();
    let png = screenshot::png(&rgba, png::ColorType::Rgba, size)?;
    Ok(Cursor::Image(Image {
        hotspot_x: image.xhot.min(image.width - 1),
        hotspot_y: image.yhot.min(image.height - 1),
        size,
        png: Bytes::from(png),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(pixels: [u32; 2]) -> GetCursorImageReply {
        GetCursorImageReply {
            width: 2,
            height: 1,
            xhot: 9,
            yhot: 0,
            cursor_image: pixels.to_vec(),
            ..GetCursorImageReply::default()
        }
    }

    #[test]
    fn what_cannot_be_seen_is_hidden_and_a_hotspot_is_within() {
        let hidden = cursor(&image([0, 0x00ff_ffff])).unwrap();
        assert_eq!(hidden, Cursor::Hidden);
        let Cursor::Image(seen) = cursor(&image([0, 0xffff_ffff])).unwrap() else {
            panic!("it is hidden");
        };
        assert_eq!((seen.hotspot_x, seen.size), (1, Size::new(2, 1).unwrap()));
        assert!(seen.png.starts_with(b"\x89PNG"));
    }
}
