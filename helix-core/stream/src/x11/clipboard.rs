//! The clipboard: the selection `CLIPBOARD`.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use helix_base::TaskGroup;
use helix_proto::desktop::{Clipboard as Content, MAX_CLIPBOARD};
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::{Instant, sleep_until},
};
use x11rb::{
    CURRENT_TIME, NONE,
    connection::Connection as _,
    protocol::{
        Event,
        xfixes::{ConnectionExt as _, SelectionEventMask},
        xproto::{
            Atom, AtomEnum, ConnectionExt as _, CreateWindowAux, EventMask, GetPropertyReply,
            Property, Window, WindowClass,
        },
    },
};

use super::{
    line::{Connection, Display, Line, ask, gone, lacks},
    selection::{Atoms, Gifts},
};
use crate::{Error, ErrorKind, desktop::Clipboard};

/// How long a program may take to give what it has copied.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of something that was copied at most.
const MOST: usize = MAX_CLIPBOARD - 64;

/// The clipboard of an X server.
pub struct X11Clipboard {
    put: mpsc::Sender<Content>,
    copied: Mutex<watch::Receiver<Option<Content>>>,
}

impl fmt::Debug for X11Clipboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X11Clipboard").finish_non_exhaustive()
    }
}

impl X11Clipboard {
    /// Connects to an X server. A task of the group keeps the connection.
    ///
    /// # Errors
    ///
    /// Where nobody listens there, or the server has no XFIXES.
    pub async fn connect(display: &Display, tasks: &TaskGroup) -> Result<Self, Error> {
        let line = Line::connect(display).await?;
        let root = line.root;
        let begin = move |connection: &Connection| begin(connection, root);
        let (window, atoms) = ask(&line.connection, begin).await?;
        let (put, puts) = mpsc::channel(4);
        let (say, copied) = watch::channel(None);
        let keeper = Keeper {
            line,
            window,
            atoms,
            puts,
            say,
            gifts: Gifts::default(),
            reading: None,
        };
        tasks.spawn("desktop clipboard", async move {
            let why = Box::pin(keeper.run()).await;
            tracing::debug!(%why, "the clipboard has ended");
        });
        Ok(Self {
            put,
            copied: Mutex::new(copied),
        })
    }
}

fn begin(connection: &Connection, root: Window) -> Result<(Window, Atoms), Error> {
    let version = connection.xfixes_query_version(5, 0).map_err(gone)?;
    version.reply().map_err(|why| lacks("XFIXES", why))?;
    let atoms = Atoms::new(connection)
        .map_err(gone)?
        .reply()
        .map_err(gone)?;
    let window = connection.generate_id().map_err(gone)?;
    let look = CreateWindowAux::new().event_mask(EventMask::PROPERTY_CHANGE);
    let class = WindowClass::INPUT_ONLY;
    let created = connection.create_window(0, window, root, -1, -1, 1, 1, 0, class, 0, &look);
    created.map_err(gone)?.check().map_err(gone)?;
    let events = SelectionEventMask::SET_SELECTION_OWNER;
    let selected = connection.xfixes_select_selection_input(window, atoms.CLIPBOARD, events);
    selected.map_err(gone)?.check().map_err(gone)?;
    Ok((window, atoms))
}

fn ended() -> Error {
    Error::new(ErrorKind::Ended, "the desktop's clipboard is gone")
}

#[async_trait]
impl Clipboard for X11Clipboard {
    async fn copied(&self) -> Result<Content, Error> {
        let mut copied = self.copied.lock().await;
        loop {
            copied.changed().await.map_err(|_| ended())?;
            if let Some(content) = copied.borrow_and_update().clone() {
                return Ok(content);
            }
        }
    }

    async fn put(&self, content: Content) -> Result<(), Error> {
        self.put.send(content).await.map_err(|_| ended())
    }
}

/// Something that was copied and is asked for.
#[derive(Debug)]
struct Reading {
    stage: Stage,
    until: Instant,
}

#[derive(Debug)]
enum Stage {
    /// What there is.
    Types,
    /// It, whole or that it comes in parts.
    Whole { is_text: bool },
    /// Its parts, as far as they have come.
    Parts { is_text: bool, bytes: Vec<u8> },
}

/// Keeps the connection.
struct Keeper {
    line: Line,
    window: Window,
    atoms: Atoms,
    puts: mpsc::Receiver<Content>,
    say: watch::Sender<Option<Content>>,
    gifts: Gifts,
    reading: Option<Reading>,
}

impl Keeper {
    async fn run(mut self) -> Error {
        loop {
            let reading = self.reading.as_ref().map(|reading| reading.until);
            let until = reading.into_iter().chain(self.gifts.until()).min();
            let late = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let done = tokio::select! {
                event = self.line.event() => match event {
                    Ok(event) => self.heard(event).await,
                    Err(why) => Err(why),
                },
                content = self.puts.recv() => match content {
                    Some(content) => self.put(content),
                    None => Err(ended()),
                },
                () = late => {
                    self.gifts.give_up();
                    if self.reading.as_ref().is_some_and(|it| it.until <= Instant::now()) {
                        tracing::debug!("a program took too long to give what was copied");
                        self.reading = None;
                    }
                    Ok(())
                }
            };
            if let Err(why) = done {
                return why;
            }
        }
    }

    fn put(&mut self, content: Content) -> Result<(), Error> {
        self.gifts.content = Some(Arc::new(content));
        let (window, selection) = (self.window, self.atoms.CLIPBOARD);
        let owned = self
            .line
            .connection
            .set_selection_owner(window, selection, CURRENT_TIME);
        owned.map(drop).map_err(gone)
    }

    async fn heard(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::XfixesSelectionNotify(owned)
                if owned.owner != self.window && owned.owner != NONE =>
            {
                self.want(self.atoms.TARGETS, Stage::Types)
            }
            Event::SelectionNotify(answer) if answer.requestor == self.window => {
                if answer.property == NONE {
                    self.reading = None;
                    return Ok(());
                }
                self.answered().await
            }
            Event::PropertyNotify(changed) if changed.window == self.window => {
                let is_part = changed.state == Property::NEW_VALUE
                    && changed.atom == self.atoms.HELIX_CLIPBOARD
                    && self
                        .reading
                        .as_ref()
                        .is_some_and(|reading| matches!(reading.stage, Stage::Parts { .. }));
                if is_part {
                    self.answered().await
                } else {
                    Ok(())
                }
            }
            Event::PropertyNotify(changed) if changed.state == Property::DELETE => {
                let connection = &self.line.connection;
                self.gifts.taken(connection, changed.window, changed.atom)
            }
            Event::SelectionRequest(request) => {
                let connection = &self.line.connection;
                self.gifts.request(connection, &self.atoms, &request)
            }
            Event::SelectionClear(_) => {
                self.gifts.content = None;
                Ok(())
            }
            // A program that pastes may be gone meanwhile, and the server says so.
            _ => Ok(()),
        }
    }

    /// Asks the program that has copied something.
    fn want(&mut self, target: Atom, stage: Stage) -> Result<(), Error> {
        let until = Instant::now() + WITHIN;
        self.reading = Some(Reading { stage, until });
        let (property, selection) = (self.atoms.HELIX_CLIPBOARD, self.atoms.CLIPBOARD);
        let asked = self.line.connection.convert_selection(
            self.window,
            selection,
            target,
            property,
            CURRENT_TIME,
        );
        asked.map(drop).map_err(gone)
    }

    /// It has answered, or given a part.
    async fn answered(&mut self) -> Result<(), Error> {
        let Some(Reading { stage, .. }) = self.reading.take() else {
            return Ok(());
        };
        let (window, property) = (self.window, self.atoms.HELIX_CLIPBOARD);
        let take = move |connection: &Connection| {
            let most = (MOST / 4 + 1) as u32;
            let asked = connection.get_property(true, window, property, AtomEnum::ANY, 0, most);
            asked.map_err(gone)?.reply().map_err(gone)
        };
        let got = ask(&self.line.connection, take).await?;
        match stage {
            Stage::Types => match self.best(&got) {
                Some((target, is_text)) => self.want(target, Stage::Whole { is_text }),
                None => Ok(()),
            },
            Stage::Whole { is_text } if got.type_ == self.atoms.INCR => {
                let bytes = Vec::new();
                self.go_on(Stage::Parts { is_text, bytes });
                Ok(())
            }
            Stage::Whole { is_text } => {
                self.copied(is_text, got.value);
                Ok(())
            }
            Stage::Parts { is_text, mut bytes } => {
                if got.value.is_empty() {
                    self.copied(is_text, bytes);
                } else if bytes.len() + got.value.len() <= MOST {
                    bytes.extend(got.value);
                    self.go_on(Stage::Parts { is_text, bytes });
                }
                Ok(())
            }
        }
    }

    fn go_on(&mut self, stage: Stage) {
        let until = Instant::now() + WITHIN;
        self.reading = Some(Reading { stage, until });
    }

    /// The best of the types that there are, and whether it is text.
    fn best(&self, types: &GetPropertyReply) -> Option<(Atom, bool)> {
        let types: Vec<_> = types.value32()?.collect();
        let texts = self.atoms.texts();
        let text = texts.into_iter().find(|text| types.contains(text));
        text.map(|text| (text, true)).or_else(|| {
            let png = self.atoms.PNG;
            types.contains(&png).then_some((png, false))
        })
    }

    fn copied(&self, is_text: bool, bytes: Vec<u8>) {
        if bytes.is_empty() || bytes.len() > MOST {
            return;
        }
        let content = if is_text {
            String::from_utf8(bytes).ok().map(Content::Text)
        } else {
            Some(Content::Png(Bytes::from(bytes)))
        };
        if let Some(content) = content {
            self.say.send_replace(Some(content));
        }
    }
}
