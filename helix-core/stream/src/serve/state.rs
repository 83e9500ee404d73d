//! The hub, and where what it says goes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use helix_proto::desktop::{Clipboard, Point, Size};
use tokio::sync::watch;

use super::{held::Held, outbox::Outbox};
use crate::{
    Error,
    encode::Encoders,
    hub::{self, Action, Hub, ViewerId},
    input::{Input, InputSink},
};

/// The hub, and where what it says goes.
#[derive(Debug)]
pub(super) struct State {
    inner: Mutex<Inner>,
    pasted: watch::Sender<Option<(u64, Clipboard)>>,
    resize: watch::Sender<Option<(ViewerId, Size)>>,
    listened: watch::Sender<bool>,
    interrupts: watch::Sender<()>,
}

/// Whoever holds this does at once what the hub says, so that it stays in order.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) hub: Hub,
    outboxes: BTreeMap<ViewerId, Arc<Outbox>>,
    input: Option<Arc<dyn InputSink>>,
    /// Where the desktop's pointer was moved to last.
    pointer: Option<Point>,
    held: Held,
    pasted: watch::Sender<Option<(u64, Clipboard)>>,
    resize: watch::Sender<Option<(ViewerId, Size)>>,
    listened: watch::Sender<bool>,
    interrupts: watch::Sender<()>,
}

impl State {
    pub(super) fn new(
        options: hub::Options,
        size: Size,
        encoders: &dyn Encoders,
        now: Instant,
    ) -> Self {
        let hub = Hub::new(options, size, &encoders.codecs(size), now).with_hint(encoders.hint());
        let (pasted, resize) = (watch::Sender::new(None), watch::Sender::new(None));
        let listened = watch::Sender::new(false);
        let interrupts = watch::Sender::new(());
        Self {
            inner: Mutex::new(Inner {
                hub,
                outboxes: BTreeMap::new(),
                input: None,
                pointer: None,
                held: Held::default(),
                pasted: pasted.clone(),
                resize: resize.clone(),
                listened: listened.clone(),
                interrupts: interrupts.clone(),
            }),
            pasted,
            resize,
            listened,
            interrupts,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What takes input from now on, and whether [`put`](Self::put) will be said to it.
    pub(super) fn set_input(&self, input: Option<Arc<dyn InputSink>>, clipboard: bool) {
        let mut inner = self.lock();
        inner.input = input;
        inner.pointer = None;
        inner.held.restart(clipboard);
    }

    /// The clipboard has what was put into it, or cannot have it: input may follow.
    pub(super) fn put(&self, number: u64, now: Instant) {
        let mut inner = self.lock();
        let inputs = inner.held.done(number);
        inner.do_inputs(inputs, now);
    }

    /// What a viewer puts into the clipboard, numbered; the last, if several come at once.
    pub(super) fn pasted(&self) -> watch::Receiver<Option<(u64, Clipboard)>> {
        self.pasted.subscribe()
    }

    /// The size that a viewer wants, and who; the last, if several come at once.
    pub(super) fn resized(&self) -> watch::Receiver<Option<(ViewerId, Size)>> {
        self.resize.subscribe()
    }

    /// Whether somebody listens to the sound.
    pub(super) fn listened(&self) -> watch::Receiver<bool> {
        self.listened.subscribe()
    }

    /// Changes when what programs are doing to the desktop is to end.
    pub(super) fn interrupts(&self) -> watch::Receiver<()> {
        self.interrupts.subscribe()
    }
}

impl Inner {
    pub(super) fn enter(&mut self, id: ViewerId, outbox: Arc<Outbox>) {
        self.outboxes.insert(id, outbox);
    }

    pub(super) fn leave(&mut self, id: ViewerId, now: Instant) {
        self.outboxes.remove(&id);
        let actions = self.hub.leave(id);
        self.act(actions, now);
    }

    /// Does what the hub says.
    pub(super) fn act(&mut self, actions: Vec<Action>, now: Instant) {
        for action in actions {
            match action {
                Action::Send(id, message) => self.send(id, message),
                Action::Input(id, input) => {
                    let inputs = self.held.input(id, input);
                    self.do_inputs(inputs, now);
                }
                Action::Copy(content) => {
                    let number = self.held.put();
                    self.pasted.send_replace(Some((number, content)));
                }
                Action::Resize(id, size) => {
                    self.resize.send_replace(Some((id, size)));
                }
                Action::Listen(on) => {
                    self.listened.send_replace(on);
                }
                Action::Interrupt => self.interrupt(),
            }
        }
    }

    fn do_inputs(&mut self, inputs: Vec<(ViewerId, Input)>, now: Instant) {
        let mut refusals = Vec::new();
        for (id, input) in inputs {
            if let Some(Err(why)) = self.send_input(input) {
                refusals.extend(self.hub.refused(id, &why.to_string(), now));
            }
        }
        for refusal in refusals {
            if let Action::Send(id, message) = refusal {
                self.send(id, message);
            }
        }
    }

    /// Does what a program wants done to the desktop; none where no desktop runs.
    pub(super) fn input(&mut self, input: Input) -> Option<Result<(), Error>> {
        if let Input::Move(at) = input {
            self.hub.moved(at);
        }
        self.send_input(input)
    }

    fn send_input(&mut self, input: Input) -> Option<Result<(), Error>> {
        let sink = self.input.as_ref()?;
        match input {
            Input::Move(at) | Input::Touch { at, .. } => self.pointer = Some(at),
            // Where that leads, the desktop alone knows.
            Input::MoveBy { .. } => self.pointer = None,
            _ => {}
        }
        Some(sink.send(input))
    }

    /// Where the desktop's pointer was moved to last, as far as that is known.
    pub(super) const fn pointer(&self) -> Option<Point> {
        self.pointer
    }

    /// Ends what programs are doing to the desktop.
    pub(super) fn interrupt(&self) {
        self.interrupts.send_replace(());
    }

    fn send(&self, id: ViewerId, message: helix_proto::desktop::Down) {
        if let Some(outbox) = self.outboxes.get(&id) {
            outbox.push(message);
        }
    }
}
