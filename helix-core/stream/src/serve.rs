//! A desktop behind a WebSocket: what joins capture, encoders, hub and viewers.
//!
//! [`Media`] is one media process's work: it starts a desktop, starts it again when it ends,
//! and serves whoever comes. [`Media::router`] has its routes:
//!
//! | route | what |
//! |---|---|
//! | `GET /desktop` | the WebSocket of `docs/desktop-protocol.md` |
//! | `GET /screenshot?format=png\|jpeg\|webp&quality=1..100&cursor=false` | one picture |
//! | `GET /thumbnail` | a small picture, the same for all who ask; 304 while nothing has changed |
//! | `POST /input`, `GET` and `PUT /automation` | what programs do, and whether they may |
//! | `GET` and `PUT /clipboard` | what is copied, by its type |
//! | `GET /windows`, `POST /windows/{window}/focus` and `/close` | the windows |
//! | `POST`, `GET` and `DELETE /recording` | begins, tells of and ends a recording |
//!
//! Whoever can reach the router may do all of it: who may is the control plane's concern.

mod automation;
mod clipboard;
mod held;
mod outbox;
mod pictures;
mod recording;
mod routes;
mod sound;
mod state;
mod thumbnail;
mod viewer;
mod windows;

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::Router;
use helix_base::{Backoff, BackoffPolicy, Clock, TaskGroup};
use helix_proto::desktop::{Micros, NoticeCode, Size};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::timeout,
};

pub use self::thumbnail::Thumbnail;
use self::{
    state::State,
    thumbnail::{Thumbnails, within},
};
use crate::{
    Error, ErrorKind,
    capture::Want,
    desktop::Desktop,
    encode::Encoders,
    hub,
    pacing::BitsPerSecond,
    screenshot::{self, Screenshot},
    sound::Sound,
};

/// How long what is put into the clipboard may hold input back.
const PUT_WITHIN: Duration = Duration::from_secs(2);

/// So many screenshots are made at once; more wait.
const SCREENSHOTS: usize = 2;

/// How a desktop is served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How it is watched.
    pub hub: hub::Options,
    /// The folder that recordings are written below; without one, nothing is recorded.
    pub recordings: Option<PathBuf>,
}

/// Starts desktops of one kind.
#[async_trait]
pub trait Starter: fmt::Debug + Send + Sync + 'static {
    /// Of the next one that is started.
    fn size(&self) -> Size;

    /// Starts one. The one before is gone.
    ///
    /// # Errors
    ///
    /// Where it cannot be started: viewers are told why, and it is tried again, more and more
    /// seldom.
    async fn start(&self) -> Result<Arc<dyn Desktop>, Error>;

    /// Where the sound of all its desktops comes from; none where they have none.
    fn sound(&self) -> Option<Arc<dyn Sound>> {
        None
    }
}

/// One desktop, and all who watch it. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Media {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: State,
    clock: Arc<dyn Clock>,
    start: Instant,
    encoders: Arc<dyn Encoders>,
    /// What encoders begin with.
    rate: BitsPerSecond,
    /// Something happened that may change what is to be encoded.
    changed: Notify,
    /// The desktop that runs.
    desktop: watch::Sender<Option<Arc<dyn Desktop>>>,
    automation: automation::Automation,
    clipboard: clipboard::Held,
    recorder: recording::Recorder,
    thumbnails: Thumbnails,
    screenshots: Arc<Semaphore>,
    tasks: TaskGroup,
}

impl Media {
    /// Starts the desktop, and keeps it running until the group is shut down.
    pub fn start(
        starter: Arc<dyn Starter>,
        encoders: Arc<dyn Encoders>,
        options: &Options,
        clock: Arc<dyn Clock>,
        tasks: &TaskGroup,
    ) -> Self {
        let (start, sound) = (clock.now(), starter.sound());
        let mut hub = options.hub;
        hub.audio &= sound.is_some();
        let shared = Arc::new(Shared {
            state: State::new(hub, starter.size(), &*encoders, start),
            start,
            clock,
            encoders,
            rate: options.hub.pacing.start,
            changed: Notify::new(),
            desktop: watch::Sender::new(None),
            automation: automation::Automation::default(),
            clipboard: clipboard::Held::new(options.hub.clipboard),
            recorder: recording::Recorder::new(options.recordings.clone()),
            thumbnails: Thumbnails::new(),
            screenshots: Arc::new(Semaphore::new(SCREENSHOTS)),
            tasks: tasks.clone(),
        });
        let (running, draining) = (shared.clone(), tasks.draining_token().clone());
        tasks.spawn("desktop", async move {
            let keep = running.keep(&*starter);
            draining.run_until_cancelled(Box::pin(keep)).await;
            running.desktop.send_replace(None);
        });
        if let Some(sound) = sound.filter(|_| hub.audio) {
            let (running, draining) = (shared.clone(), tasks.draining_token().clone());
            tasks.spawn("sound", async move {
                let run = Box::pin(sound::run(&running, &*sound));
                draining.run_until_cancelled(run).await;
            });
        }
        Self { shared }
    }

    /// Its routes.
    pub fn router(&self) -> Router {
        routes::router(self.clone())
    }

    /// How many watch now.
    pub fn viewers(&self) -> usize {
        self.shared.state.lock().hub.viewers()
    }

    /// One picture of the desktop as a file; if that is wanted with an arrow where the pointer was
    /// moved to last, since desktops give pictures without theirs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ended`] where no desktop runs now, [`ErrorKind::Timeout`] where it gives no
    /// picture.
    pub async fn screenshot(
        &self,
        format: screenshot::Format,
        quality: u8,
        pointer: bool,
    ) -> Result<Vec<u8>, Error> {
        let failed = |why| Error::failed("cannot take a screenshot", why);
        let turn = self.shared.screenshots.clone().acquire_owned().await;
        let turn = turn.map_err(|why| failed(why.to_string()))?;
        let desktop = self.shared.running()?;
        let mut capture = within(desktop.capture()).await?;
        let shot = within(capture.next(Want::Now)).await?;
        let pointer = self.shared.state.lock().pointer().filter(|_| pointer);
        let taken = Screenshot::of(&shot, pointer)?;
        drop(capture);
        // Pictures go on to viewers meanwhile.
        let making = tokio::task::spawn_blocking(move || {
            let file = taken.file(format, quality);
            drop(turn);
            file
        });
        making.await.map_err(|why| failed(why.to_string()))?
    }

    /// A small picture of the desktop as it looked at most a second ago. One is made for all who
    /// ask, and none while nothing has changed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ended`] where no desktop runs now, [`ErrorKind::Timeout`] where it gives no
    /// picture.
    pub async fn thumbnail(&self) -> Result<Thumbnail, Error> {
        let shared = &self.shared;
        let desktop = shared.running()?;
        shared.thumbnails.get(desktop, &*shared.clock).await
    }
}

impl Shared {
    /// The media process's own clock.
    fn micros(&self, at: Instant) -> Micros {
        let since = at.saturating_duration_since(self.start);
        Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// The desktop that runs now.
    fn running(&self) -> Result<Arc<dyn Desktop>, Error> {
        let desktop = self.desktop.borrow().clone();
        desktop.ok_or_else(|| Error::new(ErrorKind::Ended, "the desktop is starting"))
    }

    /// Starts the desktop again and again.
    async fn keep(self: &Arc<Self>, starter: &dyn Starter) {
        let mut backoff = Backoff::new(BackoffPolicy::default());
        let mut starting = "the desktop is starting".to_owned();
        loop {
            self.notice(NoticeCode::Starting, &starting);
            let began = self.clock.now();
            let why = match starter.start().await {
                Ok(desktop) => {
                    let why = Box::pin(self.run(desktop)).await;
                    self.desktop.send_replace(None);
                    format!("the desktop has ended: {why}")
                }
                Err(why) => format!("the desktop cannot be started: {why}"),
            };
            tracing::warn!("{why}");
            self.notice(NoticeCode::CompositorEnded, &why);
            // Whoever comes meanwhile is told what is wrong, too.
            starting = format!("{why}; starting again");
            // A desktop that ran for a while was well.
            if self.clock.now().saturating_duration_since(began) > Duration::from_secs(30) {
                backoff.succeeded();
            }
            let delay = backoff.next_delay(&mut rand::rng());
            tokio::time::sleep(delay).await;
        }
    }

    /// Runs one desktop until it ends, and says why.
    async fn run(self: &Arc<Self>, desktop: Arc<dyn Desktop>) -> Error {
        self.clipboard.forget();
        let clipboard = desktop.clipboard().is_some();
        self.state.set_input(Some(desktop.input()), clipboard);
        self.desktop.send_replace(Some(desktop.clone()));
        self.notice(NoticeCode::Well, "");
        let why = tokio::select! {
            why = desktop.ended() => why,
            why = Box::pin(pictures::run(self, &*desktop)) => why,
            why = self.clipboard(&*desktop) => why,
            why = self.cursors(&*desktop) => why,
            why = self.resizes(&*desktop) => why,
        };
        self.state.set_input(None, false);
        why
    }

    fn notice(&self, code: NoticeCode, text: &str) {
        let mut state = self.state.lock();
        let actions = state.hub.notice(code, text);
        state.act(actions, self.clock.now());
    }

    /// Gives the desktop the size that viewers want.
    async fn resizes(&self, desktop: &dyn Desktop) -> Error {
        let mut resized = self.state.resized();
        loop {
            // The sender lives as long as this does.
            let _ = resized.changed().await;
            let Some((id, size)) = *resized.borrow_and_update() else {
                continue;
            };
            match desktop.resize(size).await {
                Ok(()) => {}
                Err(why) if why.kind() == ErrorKind::Ended => return why,
                Err(why) => {
                    let now = self.clock.now();
                    let mut state = self.state.lock();
                    let actions = state.hub.refused(id, &why.to_string(), now);
                    state.act(actions, now);
                }
            }
        }
    }

    /// Passes on what the pointer looks like.
    async fn cursors(&self, desktop: &dyn Desktop) -> Error {
        let mut cursors = match desktop.cursors().await {
            Ok(Some(cursors)) => cursors,
            Ok(None) => return std::future::pending().await,
            Err(why) => return why,
        };
        loop {
            match cursors.next().await {
                Ok(cursor) => {
                    let mut state = self.state.lock();
                    let actions = state.hub.pointer_looks(cursor);
                    state.act(actions, self.clock.now());
                }
                Err(why) => return why,
            }
        }
    }

    /// Passes on what is copied, both ways.
    async fn clipboard(&self, desktop: &dyn Desktop) -> Error {
        let Some(clipboard) = desktop.clipboard() else {
            return std::future::pending().await;
        };
        let out = async {
            loop {
                match clipboard.copied().await {
                    Ok(content) => {
                        self.clipboard.keep(&content);
                        let mut state = self.state.lock();
                        let actions = state.hub.copied(content);
                        state.act(actions, self.clock.now());
                    }
                    Err(why) => return why,
                }
            }
        };
        let into = async {
            let mut pasted = self.state.pasted();
            loop {
                // The sender lives as long as this does.
                let _ = pasted.changed().await;
                let Some((number, content)) = pasted.borrow_and_update().clone() else {
                    continue;
                };
                self.clipboard.keep(&content);
                let put = timeout(PUT_WITHIN, clipboard.put(content)).await;
                self.state.put(number, self.clock.now());
                if let Ok(Err(why)) = put {
                    return why;
                }
            }
        };
        tokio::select! { why = out => why, why = into => why }
    }
}
