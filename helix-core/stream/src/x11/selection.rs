//! What was put into the clipboard, given to programs that paste it.

use std::{sync::Arc, time::Duration};

use helix_proto::desktop::Clipboard as Content;
use tokio::time::Instant;
use x11rb::{
    connection::RequestConnection as _,
    protocol::xproto::{
        Atom, AtomEnum, ChangeWindowAttributesAux, ConnectionExt as _, EventMask, PropMode,
        SELECTION_NOTIFY_EVENT, SelectionNotifyEvent, SelectionRequestEvent, Window,
    },
    wrapper::ConnectionExt as _,
};

use super::line::{Connection, gone};
use crate::Error;

x11rb::atom_manager! {
    /// The names that clipboards are spoken of by.
    pub(super) Atoms: AtomsCookie {
        CLIPBOARD,
        TARGETS,
        INCR,
        UTF8_STRING,
        TEXT_UTF8: b"text/plain;charset=utf-8",
        TEXT_PLAIN: b"text/plain",
        PNG: b"image/png",
        HELIX_CLIPBOARD,
    }
}

impl Atoms {
    /// The types of text, best first.
    pub(super) const fn texts(&self) -> [Atom; 3] {
        [self.UTF8_STRING, self.TEXT_UTF8, self.TEXT_PLAIN]
    }

    fn offers(&self, content: &Content) -> Vec<Atom> {
        match content {
            Content::Text(_) => self.texts().to_vec(),
            Content::Png(_) => vec![self.PNG],
        }
    }
}

/// How long a program may take for the next part of what it pastes.
const WITHIN: Duration = Duration::from_secs(10);
/// Programs that are given something in parts, at once.
const MOST: usize = 16;
/// Bytes of a part; what is longer than one is given in parts.
const PART: usize = 256 << 10;

/// Gives programs what they paste.
#[derive(Debug, Default)]
pub(super) struct Gifts {
    /// What was put last.
    pub(super) content: Option<Arc<Content>>,
    parts: Vec<Parts>,
}

/// Something that is given in parts.
#[derive(Debug)]
struct Parts {
    to: Window,
    property: Atom,
    target: Atom,
    content: Arc<Content>,
    given: usize,
    until: Instant,
}

impl Gifts {
    /// A program pastes.
    pub(super) fn request(
        &mut self,
        connection: &Connection,
        atoms: &Atoms,
        request: &SelectionRequestEvent,
    ) -> Result<(), Error> {
        let &SelectionRequestEvent {
            time,
            requestor,
            selection,
            target,
            ..
        } = request;
        // Programs of old give none.
        let property = match request.property {
            x11rb::NONE => target,
            property => property,
        };
        let given = match self.content.clone() {
            Some(content) => {
                self.give(connection, atoms, (requestor, property, target), content)?
            }
            None => false,
        };
        let answer = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time,
            requestor,
            selection,
            target,
            property: if given { property } else { x11rb::NONE },
        };
        let sent = connection.send_event(false, requestor, EventMask::NO_EVENT, answer);
        sent.map(drop).map_err(gone)
    }

    /// Whether it can be given.
    fn give(
        &mut self,
        connection: &Connection,
        atoms: &Atoms,
        (to, property, target): (Window, Atom, Atom),
        content: Arc<Content>,
    ) -> Result<bool, Error> {
        let replace = PropMode::REPLACE;
        let offers = atoms.offers(&content);
        if target == atoms.TARGETS {
            let targets = [&[atoms.TARGETS][..], &offers].concat();
            connection
                .change_property32(replace, to, property, AtomEnum::ATOM, &targets)
                .map_err(gone)?;
            return Ok(true);
        }
        if !offers.contains(&target) {
            return Ok(false);
        }
        let bytes = content.content();
        if bytes.len() <= PART.min(connection.maximum_request_bytes() / 2) {
            connection
                .change_property8(replace, to, property, target, bytes)
                .map_err(gone)?;
            return Ok(true);
        }
        if self.parts.len() >= MOST {
            return Ok(false);
        }
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let events = ChangeWindowAttributesAux::new().event_mask(EventMask::PROPERTY_CHANGE);
        connection
            .change_window_attributes(to, &events)
            .map_err(gone)?;
        connection
            .change_property32(replace, to, property, atoms.INCR, &[size])
            .map_err(gone)?;
        self.parts.push(Parts {
            to,
            property,
            target,
            content,
            given: 0,
            until: Instant::now() + WITHIN,
        });
        Ok(true)
    }

    /// A program has taken what it was given so far.
    pub(super) fn taken(
        &mut self,
        connection: &Connection,
        window: Window,
        property: Atom,
    ) -> Result<(), Error> {
        let is_this = |parts: &Parts| (parts.to, parts.property) == (window, property);
        let Some(at) = self.parts.iter().position(is_this) else {
            return Ok(());
        };
        let parts = &mut self.parts[at];
        let bytes = parts.content.content();
        let end = bytes.len().min(parts.given + PART);
        let part = &bytes[parts.given..end];
        let given =
            connection.change_property8(PropMode::REPLACE, window, property, parts.target, part);
        given.map_err(gone)?;
        // An empty one is the last.
        let is_last = part.is_empty();
        (parts.given, parts.until) = (end, Instant::now() + WITHIN);
        if is_last {
            self.parts.swap_remove(at);
        }
        Ok(())
    }

    /// When a program has taken too long.
    pub(super) fn until(&self) -> Option<Instant> {
        self.parts.iter().map(|parts| parts.until).min()
    }

    /// Gives up what takes too long.
    pub(super) fn give_up(&mut self) {
        let now = Instant::now();
        self.parts.retain(|parts| parts.until > now);
    }
}
