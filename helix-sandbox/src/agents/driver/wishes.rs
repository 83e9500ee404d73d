//! What editors in sandboxes ask.

use std::collections::BTreeSet;

use helix_agent::host::{Input, Record, Thread};
use helix_proto::{SandboxId, ThreadId};

use super::Driver;
use crate::agents::{
    editors::{
        Editor, From,
        wire::{Asked, Listed, Told},
    },
    place::Place,
};

impl Driver {
    /// Every sandbox with a thread has a door, and no other.
    pub(super) fn doors(&mut self) {
        let open: BTreeSet<SandboxId> = self.records().map(|record| record.open.sandbox).collect();
        let left = self.editors.keep(|sandbox| open.contains(&sandbox));
        self.send(left);
        for id in open {
            let place = Place {
                sandboxes: self.sandboxes.clone(),
                id,
            };
            self.editors.open(place, &self.tasks);
        }
    }

    /// The threads that go on, oldest first.
    fn records(&self) -> impl Iterator<Item = &Record> {
        self.threads
            .ids()
            .filter_map(|id| Some(self.threads.get(id)?.saved()?.record()))
            .filter(|record| !record.closing && !record.closed && !record.forgotten)
    }

    pub(super) async fn editor(&mut self, from: From) {
        match from {
            From::Came {
                editor,
                sandbox,
                out,
            } => self.editors.came(editor, sandbox, out),
            From::Asked { editor, asked } => self.asked(editor, asked).await,
            From::Left { editor } => {
                let left = self.editors.left(editor);
                self.send(left);
            }
        }
    }

    async fn asked(&mut self, editor: Editor, asked: Asked) {
        // One that was let go.
        let Some(sandbox) = self.editors.sandbox(editor) else {
            return;
        };
        match asked {
            Asked::Hello { .. } => {}
            Asked::Threads => {
                let here = self
                    .records()
                    .filter(|record| record.open.sandbox == sandbox);
                let threads = here.map(listed).collect();
                self.editors.tell(editor, Told::Threads { threads });
            }
            Asked::Follow { thread, after } => {
                if self.is_here(editor, sandbox, thread) {
                    let up = self.editors.follow(editor, thread, after);
                    self.send(up);
                }
            }
            Asked::Unfollow { thread } => {
                let ups = self.editors.unfollow(editor, thread);
                self.send(ups);
            }
            Asked::Want {
                thread,
                key,
                wanted,
            } => {
                if self.is_here(editor, sandbox, thread) {
                    self.editors.wants(editor, thread, &key);
                    let input = Input::Wanted { key, wanted };
                    // Wishes have no numbers that could be wrong.
                    let steps = self.threads.on(thread, input, self.clock.now_ms());
                    self.all(steps.unwrap_or_default()).await;
                }
            }
        }
    }

    /// An editor reaches the threads of its own sandbox, and hears so of any other.
    fn is_here(&mut self, editor: Editor, sandbox: SandboxId, thread: ThreadId) -> bool {
        let saved = self.threads.get(thread).and_then(Thread::saved);
        let is_here = saved.is_some_and(|saved| saved.record().open.sandbox == sandbox);
        if !is_here {
            let reason = "there is no such conversation in this sandbox".to_owned();
            self.editors.tell(editor, Told::Over { thread, reason });
        }
        is_here
    }
}

fn listed(record: &Record) -> Listed {
    Listed {
        thread: record.thread,
        agent: record.open.agent.name.clone(),
        directory: record.open.agent.directory.clone(),
    }
}
