//! Who watches a desktop, and who is sent what. Pure.
//!
//! Viewers come and go, and say things; pictures are encoded, once for all that decode the same
//! codec. The hub says what follows: messages to viewers, input for the desktop, what is to be
//! encoded next and how. A driver around it does that; there is no socket, task or clock here.
//!
//! # Rules
//!
//! - **Controls**: the first who does not only look on has them; who takes over has them; when
//!   that one leaves, they go to whoever has been there longest. From one that says nothing for
//!   6 s they go to the next that is there, who looks at the picture. Input and the clipboard
//!   count from no one else, and the pointer's position of the others is shown to all.
//! - **Programs** act beside whoever has the controls ([`automation`](crate::automation)), until
//!   somebody takes over: also by taking over what they have already.
//! - **Held keys**: whatever a viewer holds down is let go of when it says so, leaves, loses
//!   the controls, or says nothing for 6 s, and the hub alone knows what that is.
//! - **Pictures**: one that is encoded goes to every viewer of the codec that can use it. One
//!   that has fallen behind ([`pacing`](crate::pacing)) is skipped, and goes on with a key
//!   frame. It never makes the others wait, and their rate sinks for it to a quarter at most.
//! - **Patches**: where little has changed, and all viewers of a codec that have not fallen behind
//!   have the picture before and take patches, that is sent by itself, and nothing is encoded.
//! - **Order**: a viewer's first message is its `Hello`. It is sent when the encoder for it is
//!   open.
//! - **Sound** goes to those who asked for it, whether they see the picture or not. Nobody
//!   listens unless one of them does.
//! - **Bounds**: [`MAX_VIEWERS`] viewers, [`MAX_HELD`] keys, buttons and fingers of each.

mod controls;
pub(crate) mod held;
mod messages;
mod options;
mod pictures;
mod presence;
pub(crate) mod refinement;
mod sound;
mod viewer;

use std::{collections::BTreeMap, fmt, time::Instant};

use helix_proto::desktop::{
    Clipboard, Codec, Cursor, Down, Greeting, Hello, HelloFlags, Notice, NoticeCode, Point, Size,
};

pub use self::{
    held::MAX_HELD,
    options::Options,
    pictures::{Change, Picture, Plan, Work},
};
use self::{refinement::Refinement, viewer::Viewer};
use crate::{encode::Description, input::Input};

/// Viewers of one desktop at most.
pub const MAX_VIEWERS: usize = 128;

/// The number of a viewer; never that of another before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewerId(pub(crate) u32);

impl fmt::Display for ViewerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What follows from what happened, in the order in which it is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// To a viewer.
    Send(ViewerId, Down),
    /// Into the desktop, from a viewer.
    Input(ViewerId, Input),
    /// Into the desktop's clipboard.
    Copy(Clipboard),
    /// The desktop gets another size, which a viewer wants.
    Resize(ViewerId, Size),
    /// The desktop's sound is listened to from now on, or not any more.
    Listen(bool),
    /// A person wants the desktop to themselves: what programs are doing to it ends.
    Interrupt,
}

/// Why somebody cannot watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_VIEWERS} viewers watch this desktop already")]
pub struct Full;

/// Who watches a desktop.
#[derive(Debug)]
pub struct Hub {
    options: Options,
    viewers: BTreeMap<ViewerId, Viewer>,
    next: u32,
    controls: Option<ViewerId>,
    /// For which codecs there are encoders, beside stills.
    codecs: Vec<Codec>,
    /// The encoders that are open.
    open: BTreeMap<Codec, Open>,
    size: Size,
    /// The picture that was captured last; they count from 1.
    newest: u64,
    /// How large the patch to it from the one before is, where there is one.
    patch: Option<usize>,
    presence: presence::Timer,
    stats: pictures::Figures,
    /// Whether somebody listens.
    listened: bool,
    /// What the pointer looks like, where that is known.
    cursor: Option<Cursor>,
    /// Why there is no desktop now.
    trouble: Option<Notice>,
    /// What a person may do where there are no encoders.
    hint: Option<&'static str>,
}

/// An encoder that is open.
#[derive(Debug)]
struct Open {
    description: Description,
    encoded: Option<Instant>,
    /// Which picture that was, how often it was encoded again, and when it is to be once more.
    of: u64,
    refinement: Refinement,
    refine: Option<Instant>,
}

impl Hub {
    /// Without viewers. `codecs` are those that there are encoders for; stills there always
    /// are.
    pub fn new(options: Options, size: Size, codecs: &[Codec], now: Instant) -> Self {
        Self {
            options,
            viewers: BTreeMap::new(),
            next: 1,
            controls: None,
            codecs: codecs.to_vec(),
            open: BTreeMap::new(),
            size,
            newest: 0,
            patch: None,
            presence: presence::Timer::new(now),
            stats: pictures::Figures::new(now),
            listened: false,
            cursor: None,
            trouble: None,
            hint: None,
        }
    }

    /// With what a person may do where there are no encoders, for those who see stills instead.
    #[must_use]
    pub const fn with_hint(mut self, hint: Option<&'static str>) -> Self {
        self.hint = hint;
        self
    }

    /// Somebody comes.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn join(
        &mut self,
        greeting: &Greeting,
        now: Instant,
    ) -> Result<(ViewerId, Vec<Action>), Full> {
        if self.viewers.len() >= MAX_VIEWERS {
            return Err(Full);
        }
        let id = ViewerId(self.next);
        self.next = self.next.wrapping_add(1).max(1);
        let mut viewer = Viewer::new(greeting, self.options.pacing, now);
        viewer.codec = self.codec_for(greeting);
        if viewer.codec == Codec::Stills && !greeting.codecs.is_empty() {
            viewer.notice = Some(self.no_encoder(greeting));
        }
        self.viewers.insert(id, viewer);
        let mut actions = Vec::new();
        if self.controls.is_none() && !greeting.looks_on {
            self.controls = Some(id);
        }
        self.mind_absence(now, &mut actions);
        self.greet(id, &mut actions);
        self.tell_presence(&mut actions);
        Ok((id, actions))
    }

    /// Somebody is gone. Whoever is not there does nothing.
    pub fn leave(&mut self, id: ViewerId) -> Vec<Action> {
        let mut actions = Vec::new();
        self.release(id, &mut actions);
        if self.viewers.remove(&id).is_none() {
            return actions;
        }
        if self.controls == Some(id) {
            let mut others = self.viewers.iter();
            let next = others.find(|(_, viewer)| !viewer.looks_on);
            self.controls = next.map(|(id, _)| *id);
        }
        self.tell_listening(&mut actions);
        self.tell_presence(&mut actions);
        actions
    }

    /// The encoder for a codec is open, or open anew: its viewers are told.
    pub fn opened(&mut self, description: Description) -> Vec<Action> {
        let codec = description.codec;
        self.size = description.size;
        let open = Open {
            description,
            encoded: None,
            of: 0,
            refinement: Refinement::default(),
            refine: None,
        };
        self.open.insert(codec, open);
        let mut actions = Vec::new();
        for id in self.viewers_of(codec) {
            if let Some(viewer) = self.viewers.get_mut(&id) {
                viewer.greeted = false;
                viewer.pacing.missed();
            }
            self.greet(id, &mut actions);
        }
        self.tell_presence(&mut actions);
        actions
    }

    /// Encoders of a codec cannot be used: its viewers get another, best first, and are told
    /// why. Stills are never given up.
    pub fn failed(&mut self, codec: Codec, why: &str) -> Vec<Action> {
        self.open.remove(&codec);
        self.codecs.retain(|known| *known != codec);
        let mut actions = Vec::new();
        for id in self.viewers_of(codec) {
            let Some(viewer) = self.viewers.get(&id) else {
                continue;
            };
            let next = self.codec_for(&viewer.greeting);
            if let Some(viewer) = self.viewers.get_mut(&id) {
                viewer.codec = next;
                viewer.greeted = false;
                viewer.pacing.missed();
                viewer.notice = Some(Notice {
                    code: NoticeCode::EncoderFailed,
                    text: bounded(why),
                });
            }
            self.greet(id, &mut actions);
        }
        self.tell_presence(&mut actions);
        actions
    }

    /// The desktop has another size, for which there are encoders for these codecs: also for one
    /// that has failed before. All encoders are to be opened anew.
    pub fn resized(&mut self, size: Size, codecs: &[Codec]) {
        self.size = size;
        self.open.clear();
        self.codecs = codecs.to_vec();
        for viewer in self.viewers.values_mut() {
            let codec = best(codecs, &viewer.greeting);
            if viewer.codec != codec {
                viewer.codec = codec;
                viewer.greeted = false;
                viewer.pacing.missed();
            }
        }
    }

    /// The desktop's size, as far as it is known here.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// The encoder of a codec is closed, since nobody needs it or it has failed; it may be
    /// opened again.
    pub fn closed(&mut self, codec: Codec) {
        self.open.remove(&codec);
    }

    /// Something that everybody should see; that there is no desktop is told to those who come
    /// later, too, until all is well again.
    pub fn notice(&mut self, code: NoticeCode, text: &str) -> Vec<Action> {
        let notice = Notice {
            code,
            text: bounded(text),
        };
        match code {
            NoticeCode::Starting | NoticeCode::CompositorEnded => {
                self.trouble = Some(notice.clone());
            }
            NoticeCode::Well => self.trouble = None,
            _ => {}
        }
        let told = self.viewers.iter().filter(|(_, viewer)| viewer.greeted);
        told.map(|(id, _)| Action::Send(*id, Down::Notice(notice.clone())))
            .collect()
    }

    /// What a viewer wants of the desktop was refused: input, or another size.
    pub fn refused(&mut self, id: ViewerId, why: &str, now: Instant) -> Vec<Action> {
        let Some(viewer) = self.viewers.get_mut(&id) else {
            return Vec::new();
        };
        if !viewer.may_be_told_of_input(now) {
            return Vec::new();
        }
        let text = bounded(why);
        let code = NoticeCode::InputRefused;
        vec![Action::Send(id, Down::Notice(Notice { code, text }))]
    }

    /// Something was copied in the desktop: for who has the controls.
    pub fn copied(&self, content: Clipboard) -> Vec<Action> {
        let to = self.controls.filter(|_| self.options.clipboard);
        let to = to.filter(|id| self.viewers.get(id).is_some_and(|viewer| viewer.greeted));
        to.map(|id| Action::Send(id, Down::Clipboard(content)))
            .into_iter()
            .collect()
    }

    /// The desktop's pointer looks like this now.
    pub fn pointer_looks(&mut self, cursor: Cursor) -> Vec<Action> {
        let told = self.viewers.iter().filter(|(_, viewer)| viewer.greeted);
        let actions = told
            .map(|(id, _)| Action::Send(*id, Down::Cursor(cursor.clone())))
            .collect();
        self.cursor = Some(cursor);
        actions
    }

    /// A program moved the desktop's pointer: all are shown where it is.
    pub fn moved(&mut self, at: Point) {
        self.presence.moved(at);
    }

    /// A viewer wants this many pictures a second at most. Those who watch in the same codec may
    /// want more, and then it gets them, too.
    pub fn set_fps(&mut self, id: ViewerId, fps: u16) {
        if let Some(viewer) = self.viewers.get_mut(&id) {
            viewer.fps = fps;
        }
    }

    /// Why a viewer that waits for its `Hello` does so in vain: there is no desktop now.
    pub fn waits_in_vain(&self, id: ViewerId) -> Option<&str> {
        let waits = self.viewers.get(&id).is_some_and(|viewer| !viewer.greeted);
        let trouble = self.trouble.as_ref().filter(|_| waits);
        trouble.map(|trouble| trouble.text.as_str())
    }

    /// How many watch.
    pub fn viewers(&self) -> usize {
        self.viewers.len()
    }

    /// Who has the controls.
    pub const fn controls(&self) -> Option<ViewerId> {
        self.controls
    }

    /// Codecs that viewers need an encoder for and that have none open.
    pub fn to_open(&self) -> Vec<Codec> {
        let mut codecs: Vec<_> = self.viewers.values().map(|viewer| viewer.codec).collect();
        codecs.sort_unstable();
        codecs.dedup();
        codecs.retain(|codec| !self.open.contains_key(codec));
        codecs
    }

    /// Codecs that have an encoder open and nobody who needs it.
    pub fn to_close(&self) -> Vec<Codec> {
        let needed = |codec| self.viewers.values().any(|viewer| viewer.codec == codec);
        let open = self.open.keys().copied();
        open.filter(|codec| !needed(*codec)).collect()
    }

    fn viewers_of(&self, codec: Codec) -> Vec<ViewerId> {
        let of = self
            .viewers
            .iter()
            .filter(|(_, viewer)| viewer.codec == codec);
        of.map(|(id, _)| *id).collect()
    }

    fn codec_for(&self, greeting: &Greeting) -> Codec {
        best(&self.codecs, greeting)
    }

    fn no_encoder(&self, greeting: &Greeting) -> Notice {
        let list = |codecs: &[Codec]| {
            let names: Vec<_> = codecs.iter().map(Codec::to_string).collect();
            if names.is_empty() {
                "nothing".to_owned()
            } else {
                names.join(", ")
            }
        };
        let hint = self.hint.filter(|_| self.codecs.is_empty());
        let hint = hint.map_or_else(String::new, |hint| format!(" ({hint})"));
        Notice {
            code: NoticeCode::NoEncoder,
            text: format!(
                "this viewer decodes {}; there are encoders for {}{hint}: stills instead of video",
                list(&greeting.codecs),
                list(&self.codecs),
            ),
        }
    }

    /// Sends a viewer its `Hello`, once its encoder is open, and what it has missed.
    fn greet(&mut self, id: ViewerId, actions: &mut Vec<Action>) {
        let has_controls = self.controls == Some(id);
        let Some(viewer) = self.viewers.get_mut(&id) else {
            return;
        };
        let Some(open) = self.open.get(&viewer.codec) else {
            return;
        };
        let description = &open.description;
        viewer.greeted = true;
        actions.push(Action::Send(
            id,
            Down::Hello(Hello {
                viewer: id.0,
                codec: description.codec,
                encoder: description.name.clone(),
                config: description.config.clone(),
                size: description.size,
                flags: HelloFlags {
                    audio: self.options.audio,
                    clipboard: self.options.clipboard,
                    controls: has_controls,
                },
            }),
        ));
        let cursor = self.cursor.clone().map(Down::Cursor);
        actions.extend(cursor.map(|cursor| Action::Send(id, cursor)));
        let notices = [viewer.notice.take(), self.trouble.clone()];
        let notices = notices.into_iter().flatten();
        actions.extend(notices.map(|notice| Action::Send(id, Down::Notice(notice))));
    }
}

/// The codec that a viewer gets where there are encoders for these.
fn best(codecs: &[Codec], greeting: &Greeting) -> Codec {
    let mut wanted = greeting.codecs.iter().copied();
    let has = |codec: &Codec| *codec == Codec::Stills || codecs.contains(codec);
    wanted.find(has).unwrap_or(Codec::Stills)
}

/// Text for a notice: its beginning, where it is long.
fn bounded(text: &str) -> String {
    text.chars().take(1_000).collect()
}

#[cfg(test)]
mod tests;
