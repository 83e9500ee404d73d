//! Editors in the host's sandboxes, each by a program that speaks ACP with it (`helix-sandbox
//! acp`): which there are, what they read, and what they wait to hear of what they wanted.
//!
//! What editors want goes through the thread's machine to the control plane; what they see is the
//! session's log, as everybody has it, read through the connection. So nothing of a conversation
//! is kept here for them, and one that is gone leaves nothing behind.

mod door;
pub(crate) mod wire;

use std::collections::{BTreeMap, VecDeque};

use helix_base::TaskGroup;
use helix_proto::{
    SandboxId, ThreadId,
    agents::{LogPage, MAX_READERS, Up},
};
use tokio::sync::mpsc;

use self::wire::{Asked, Told};
use super::place::Place;

/// What editors ask and is not taken yet, at most: they wait.
const ASKED: usize = 64;
/// Wishes whose editor is remembered, of all threads.
const WISHES: usize = 1_024;

/// One editor's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Editor(u64);

/// What comes from editors.
#[derive(Debug)]
pub(super) enum From {
    /// One is there.
    Came {
        editor: Editor,
        sandbox: SandboxId,
        out: mpsc::Sender<Told>,
    },
    /// It asks for something.
    Asked { editor: Editor, asked: Asked },
    /// It is gone.
    Left { editor: Editor },
}

#[derive(Debug)]
struct There {
    sandbox: SandboxId,
    out: mpsc::Sender<Told>,
}

/// A log that is read.
#[derive(Debug)]
struct Reading {
    editor: Editor,
    thread: ThreadId,
    /// What was read up to, while it waits for what follows.
    after: Option<u64>,
}

/// The editors of a host.
#[derive(Debug)]
pub(super) struct Editors {
    doors: BTreeMap<SandboxId, TaskGroup>,
    there: BTreeMap<Editor, There>,
    readings: BTreeMap<u64, Reading>,
    last_reader: u64,
    /// Who wanted what, oldest first.
    wishes: VecDeque<(ThreadId, String, Editor)>,
    from: (mpsc::Sender<From>, mpsc::Receiver<From>),
}

impl Default for Editors {
    fn default() -> Self {
        Self {
            doors: BTreeMap::new(),
            there: BTreeMap::new(),
            readings: BTreeMap::new(),
            last_reader: 0,
            wishes: VecDeque::new(),
            from: mpsc::channel(ASKED),
        }
    }
}

impl Editors {
    /// What comes next. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<From> {
        self.from.1.recv().await
    }

    /// Opens a sandbox's door, should it be closed.
    pub(super) fn open(&mut self, place: Place, tasks: &TaskGroup) {
        let to = self.from.0.clone();
        self.doors.entry(place.id).or_insert_with(|| {
            let group = tasks.child();
            group.spawn("door for editors", door::keep(place, to, group.clone()));
            group
        });
    }

    /// Closes the doors of all sandboxes but these, and lets go who came through them; what is
    /// to be said of that.
    pub(super) fn keep(&mut self, sandboxes: impl Fn(SandboxId) -> bool) -> Vec<Up> {
        let closed = self.doors.extract_if(.., |sandbox, _| !sandboxes(*sandbox));
        for (_, group) in closed {
            group.cancel();
        }
        let there = self.there.iter();
        let gone = there.filter(|(_, there)| !sandboxes(there.sandbox));
        let gone: Vec<_> = gone.map(|(editor, _)| *editor).collect();
        gone.into_iter()
            .flat_map(|editor| self.left(editor))
            .collect()
    }

    pub(super) fn came(&mut self, editor: Editor, sandbox: SandboxId, out: mpsc::Sender<Told>) {
        self.there.insert(editor, There { sandbox, out });
    }

    /// An editor is gone; what is to be said of that.
    pub(super) fn left(&mut self, editor: Editor) -> Vec<Up> {
        self.there.remove(&editor);
        self.wishes.retain(|(_, _, whose)| *whose != editor);
        self.stop_reading(|reading| reading.editor == editor)
    }

    fn stop_reading(&mut self, over: impl Fn(&Reading) -> bool) -> Vec<Up> {
        let over = self.readings.extract_if(.., |_, reading| over(reading));
        over.map(|(reader, _)| Up::Unfollow { reader }).collect()
    }

    /// The sandbox that an editor is in.
    pub(super) fn sandbox(&self, editor: Editor) -> Option<SandboxId> {
        self.there.get(&editor).map(|there| there.sandbox)
    }

    /// Tells an editor something. One that takes nothing is let go.
    pub(super) fn tell(&mut self, editor: Editor, told: Told) {
        if let Some(there) = self.there.get(&editor)
            && there.out.try_send(told).is_err()
        {
            // Its task ends as the sender is dropped, and says that it left.
            self.there.remove(&editor);
        }
    }

    /// An editor waits for what follows in a log; what is to be said of that.
    pub(super) fn follow(&mut self, editor: Editor, thread: ThreadId, after: u64) -> Option<Up> {
        let known = self
            .readings
            .iter_mut()
            .find(|(_, reading)| reading.editor == editor && reading.thread == thread);
        let reader = match known {
            Some((reader, reading)) => {
                reading.after = Some(after);
                *reader
            }
            None => {
                if self.readings.len() >= MAX_READERS {
                    let reason = "too many editors are open on this host".to_owned();
                    self.tell(editor, Told::Over { thread, reason });
                    return None;
                }
                self.last_reader += 1;
                let reading = Reading {
                    editor,
                    thread,
                    after: Some(after),
                };
                self.readings.insert(self.last_reader, reading);
                self.last_reader
            }
        };
        Some(Up::Follow {
            thread,
            reader,
            after,
        })
    }

    pub(super) fn unfollow(&mut self, editor: Editor, thread: ThreadId) -> Vec<Up> {
        self.stop_reading(|reading| reading.editor == editor && reading.thread == thread)
    }

    /// What all of them wait for, on a connection that was welcomed.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Up> {
        self.readings.iter().filter_map(|(reader, reading)| {
            Some(Up::Follow {
                thread: reading.thread,
                reader: *reader,
                after: reading.after?,
            })
        })
    }

    /// A page of a log came. One that nobody waits for any more is dropped.
    pub(super) fn log(&mut self, page: LogPage) {
        let reading = self.readings.get_mut(&page.reader);
        let Some(reading) = reading.filter(|reading| {
            let before = |after: u64| after <= page.through;
            reading.thread == page.thread && reading.after.is_some_and(before)
        }) else {
            return;
        };
        reading.after = None;
        let editor = reading.editor;
        self.tell(editor, Told::Log(page));
    }

    /// An editor wants something: it hears what becomes of it.
    pub(super) fn wants(&mut self, editor: Editor, thread: ThreadId, key: &str) {
        self.wishes
            .retain(|(other, word, _)| *other != thread || word != key);
        if self.wishes.len() >= WISHES {
            self.wishes.pop_front();
        }
        self.wishes.push_back((thread, key.to_owned(), editor));
    }

    /// Tells whoever wanted that, if it is still there.
    pub(super) fn answer(&mut self, thread: ThreadId, key: &str, told: Told) {
        let mut wishes = self.wishes.iter();
        let found = wishes.find(|(other, word, _)| *other == thread && word == key);
        if let Some((_, _, editor)) = found {
            self.tell(*editor, told);
        }
    }

    /// A thread is over.
    pub(super) fn over(&mut self, thread: ThreadId) -> Vec<Up> {
        let readers = self
            .readings
            .values()
            .filter(|reading| reading.thread == thread);
        for editor in readers.map(|reading| reading.editor).collect::<Vec<_>>() {
            let reason = "the conversation has ended".to_owned();
            self.tell(editor, Told::Over { thread, reason });
        }
        self.wishes.retain(|(other, _, _)| *other != thread);
        self.stop_reading(|reading| reading.thread == thread)
    }
}

#[cfg(test)]
mod tests;
