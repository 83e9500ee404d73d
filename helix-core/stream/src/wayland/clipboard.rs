//! The clipboard, by wlr-data-control.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::Future,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use helix_base::TaskGroup;
use helix_proto::desktop::{Clipboard as Content, MAX_CLIPBOARD};
use rustix::pipe::PipeFlags;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
    sync::{Mutex, mpsc, oneshot, watch},
    time::timeout,
};
use wayland_client::{
    Connection, Dispatch, Proxy as _, QueueHandle,
    backend::ObjectId,
    delegate_noop, event_created_child,
    globals::GlobalListContents,
    protocol::{
        wl_callback::{self, WlCallback},
        wl_registry::{self, WlRegistry},
        wl_seat::WlSeat,
    },
};
use wayland_protocols_wlr::data_control::v1::client::{
    zwlr_data_control_device_v1::{self as device, ZwlrDataControlDeviceV1 as Device},
    zwlr_data_control_manager_v1::ZwlrDataControlManagerV1 as Manager,
    zwlr_data_control_offer_v1::{self as offer, ZwlrDataControlOfferV1 as Offer},
    zwlr_data_control_source_v1::{self as source, ZwlrDataControlSourceV1 as Source},
};

use super::line::{self, Line, lacks};
use crate::{Error, ErrorKind, desktop::Clipboard};

/// How long a program may take to give what it has copied, or to take what it pastes.
const WITHIN: Duration = Duration::from_secs(10);
/// Tells what was put here from what programs copied.
const OURS: &str = "application/x-helix-desktop";
/// The types of text, best first.
const TEXT: [&str; 4] = [
    Content::TEXT,
    "text/plain;charset=UTF-8",
    "UTF8_STRING",
    "text/plain",
];
/// Types of one offer that are looked at.
const TYPES: usize = 64;

/// The clipboard of a compositor.
pub struct WaylandClipboard {
    put: mpsc::Sender<Put>,
    copied: Mutex<watch::Receiver<Option<Content>>>,
}

/// What is put there, and whom to tell when it is there.
type Put = (Content, oneshot::Sender<()>);

impl fmt::Debug for WaylandClipboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaylandClipboard").finish_non_exhaustive()
    }
}

impl WaylandClipboard {
    /// Connects to the compositor that listens at `socket`. Tasks of the group read the
    /// connection, and give pasting programs what they ask for.
    ///
    /// # Errors
    ///
    /// Where nobody listens there, or the compositor has no wlr-data-control.
    pub async fn connect(socket: &Path, tasks: &TaskGroup) -> Result<Self, Error> {
        let fresh = line::connect::<Selection>(socket).await?;
        let (queue, globals) = (fresh.queue.handle(), &fresh.globals);
        let seat: WlSeat = globals.bind(&queue, 1..=1, ()).map_err(|_| lacks("seat"))?;
        let manager = globals.bind::<Manager, _, _>(&queue, 1..=2, ());
        let manager = manager.map_err(|_| lacks("wlr-data-control"))?;
        let device = manager.get_data_device(&seat, &queue, ());
        let connection = fresh.connection.clone();
        let line = fresh.with(Selection::default())?;
        let (put, puts) = mpsc::channel(4);
        let (say, copied) = watch::channel(None);
        let keeper = Keeper {
            line,
            connection,
            queue,
            manager,
            device,
            puts,
            say,
            tasks: tasks.clone(),
            source: None,
            putting: VecDeque::new(),
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

fn gone() -> Error {
    Error::new(ErrorKind::Ended, "the desktop's clipboard is gone")
}

#[async_trait]
impl Clipboard for WaylandClipboard {
    async fn copied(&self) -> Result<Content, Error> {
        let mut copied = self.copied.lock().await;
        loop {
            copied.changed().await.map_err(|_| gone())?;
            if let Some(content) = copied.borrow_and_update().clone() {
                return Ok(content);
            }
        }
    }

    async fn put(&self, content: Content) -> Result<(), Error> {
        let (done, put) = oneshot::channel();
        self.put.send((content, done)).await.map_err(|_| gone())?;
        put.await.map_err(|_| gone())
    }
}

/// What the compositor has said.
#[derive(Debug, Default)]
struct Selection {
    /// What is offered, by its object: its types.
    offers: HashMap<ObjectId, Vec<String>>,
    /// What was selected and not looked at yet.
    selected: Option<Offer>,
    /// Programs that paste what was put here: which, the type, and where it goes.
    pastes: Vec<(Source, String, OwnedFd)>,
    /// How many of the things that were said it has answered.
    answered: usize,
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Option<Content>>> + Send>>;

/// Keeps the connection.
struct Keeper {
    line: Line<Selection>,
    connection: Connection,
    queue: QueueHandle<Selection>,
    manager: Manager,
    device: Device,
    puts: mpsc::Receiver<Put>,
    say: watch::Sender<Option<Content>>,
    tasks: TaskGroup,
    /// What was put last, and is offered.
    source: Option<(Source, Arc<Content>)>,
    /// Who waits until the compositor has taken what they put.
    putting: VecDeque<oneshot::Sender<()>>,
}

impl Keeper {
    async fn run(mut self) -> Error {
        let mut reading: Option<Reading> = None;
        loop {
            let read = async {
                match &mut reading {
                    Some(reading) => reading.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                dispatched = self.line.dispatch() => {
                    if let Err(why) = dispatched {
                        return why;
                    }
                    for _ in 0..std::mem::take(&mut self.line.state.answered) {
                        // Whoever does not wait any more need not know.
                        let _ = self.putting.pop_front().map(|put| put.send(()));
                    }
                    for (source, mime, to) in std::mem::take(&mut self.line.state.pastes) {
                        self.paste(&source, &mime, to);
                    }
                    if let Some(offer) = self.line.state.selected.take() {
                        reading = self.read(&offer);
                        self.line.state.offers.remove(&offer.id());
                    }
                }
                read = read => {
                    reading = None;
                    match read {
                        Ok(Some(content)) => drop(self.say.send_replace(Some(content))),
                        Ok(None) => {}
                        Err(why) => tracing::debug!(%why, "what was copied cannot be read"),
                    }
                }
                content = self.puts.recv() => match content {
                    Some((content, done)) => {
                        self.put(content);
                        self.putting.push_back(done);
                    }
                    None => return gone(),
                },
            }
        }
    }

    /// Offers something to whoever pastes.
    fn put(&mut self, content: Content) {
        let source = self.manager.create_data_source(&self.queue, ());
        source.offer(OURS.to_owned());
        match &content {
            Content::Text(_) => TEXT
                .iter()
                .for_each(|mime| source.offer((*mime).to_owned())),
            Content::Png(_) => source.offer(Content::PNG.to_owned()),
        }
        self.device.set_selection(Some(&source));
        self.connection.display().sync(&self.queue, ());
        self.source = Some((source, Arc::new(content)));
    }

    /// Gives a program what it pastes.
    fn paste(&self, source: &Source, mime: &str, to: OwnedFd) {
        let current = self.source.as_ref().filter(|(known, _)| known == source);
        let Some((_, content)) = current.filter(|_| mime != OURS) else {
            return;
        };
        let content = content.clone();
        self.tasks.spawn("paste", async move {
            let write = async {
                let mut to = pipe::Sender::from_owned_fd(to)?;
                to.write_all(content.content()).await
            };
            match timeout(WITHIN, write).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => tracing::debug!(%why, "a program did not take what it pastes"),
                Err(_) => tracing::debug!("a program took too long to take what it pastes"),
            }
        });
    }

    /// Asks for what was copied, unless it was put here.
    fn read(&self, offer: &Offer) -> Option<Reading> {
        let types = self.line.state.offers.get(&offer.id())?;
        let has = |mime: &str| types.iter().any(|known| known == mime);
        let text = TEXT.iter().find(|mime| has(mime));
        let mime = text
            .copied()
            .or_else(|| has(Content::PNG).then_some(Content::PNG));
        let mime = mime.filter(|_| !has(OURS));
        let asked = mime.map(|mime| {
            let (from, to) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            offer.receive(mime.to_owned(), to.as_fd());
            // Before our end of what the program writes to is closed.
            line::flush(&self.connection).map_err(io::Error::other)?;
            Ok::<_, io::Error>((from, text.is_some()))
        });
        offer.destroy();
        let asked = asked?;
        Some(Box::pin(async move {
            let (from, is_text) = asked?;
            let read = timeout(WITHIN, whole(from)).await;
            let bytes = read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok(content(bytes, is_text))
        }))
    }
}

/// Everything that is written there, within the protocol's bound.
async fn whole(from: OwnedFd) -> io::Result<Vec<u8>> {
    let most = (MAX_CLIPBOARD - 64) as u64;
    let mut bytes = Vec::new();
    let from = pipe::Receiver::from_owned_fd(from)?;
    from.take(most + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

fn content(bytes: Vec<u8>, is_text: bool) -> Option<Content> {
    if bytes.is_empty() {
        return None;
    }
    if is_text {
        return String::from_utf8(bytes).ok().map(Content::Text);
    }
    Some(Content::Png(Bytes::from(bytes)))
}

impl Dispatch<Device, ()> for Selection {
    fn event(
        state: &mut Self,
        _: &Device,
        event: device::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            device::Event::DataOffer { id } => {
                state.offers.insert(id.id(), Vec::new());
            }
            device::Event::Selection { id: Some(offer) } => {
                if let Some(before) = state.selected.replace(offer) {
                    state.offers.remove(&before.id());
                    before.destroy();
                }
            }
            device::Event::PrimarySelection { id: Some(offer) } => {
                state.offers.remove(&offer.id());
                offer.destroy();
            }
            _ => {}
        }
    }

    event_created_child!(Self, Device, [
        device::EVT_DATA_OFFER_OPCODE => (Offer, ()),
    ]);
}

impl Dispatch<Offer, ()> for Selection {
    fn event(
        state: &mut Self,
        offer: &Offer,
        event: offer::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let offer::Event::Offer { mime_type } = event
            && let Some(types) = state.offers.get_mut(&offer.id())
            && types.len() < TYPES
        {
            types.push(mime_type);
        }
    }
}

impl Dispatch<Source, ()> for Selection {
    fn event(
        state: &mut Self,
        source: &Source,
        event: source::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            source::Event::Send { mime_type, fd } => {
                state.pastes.push((source.clone(), mime_type, fd));
            }
            source::Event::Cancelled => source.destroy(),
            _ => {}
        }
    }
}

impl Dispatch<WlCallback, ()> for Selection {
    fn event(
        state: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        state.answered += 1;
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for Selection {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

delegate_noop!(Selection: ignore WlSeat);
delegate_noop!(Selection: Manager);
