//! What comes of the session's log.

use std::collections::BTreeSet;

use helix_proto::{
    ThreadId,
    agents::{Entry, LogPage, TurnEnd, Wanted},
};
use serde_json::{Value, json};

use super::{Asked, Desk, For, Shown, Stage, Waits};
use crate::editor::words;

impl Desk {
    /// A page of a log came.
    pub(super) fn log(&mut self, page: LogPage) {
        let thread = page.thread;
        for entry in page.entries {
            self.entry(thread, entry);
        }
        let Some(session) = self.sessions.get_mut(&thread) else {
            return self.tell(Asked::Unfollow { thread });
        };
        session.after = page.through;
        if !page.more {
            self.at_its_end(thread);
        }
        self.settle(thread);
        if let Some(session) = self.sessions.get(&thread) {
            let after = session.after;
            self.tell(Asked::Follow { thread, after });
        }
    }

    fn entry(&mut self, thread: ThreadId, entry: Entry) {
        let Some(session) = self.sessions.get_mut(&thread) else {
            return;
        };
        match session.stage {
            Stage::Folding { .. } => {
                session.view.apply(entry, &BTreeSet::new());
            }
            Stage::Replaying => {
                // Everything is shown, and who is asked now is known at the end.
                for shown in session.view.apply(entry, &BTreeSet::new()) {
                    if let Shown::Update(update) = shown {
                        self.update(thread, update);
                    }
                }
            }
            Stage::Live => {
                let own = session.prompts.iter().filter_map(|prompt| prompt.turn);
                let own = own.collect();
                for shown in session.view.apply(entry, &own) {
                    self.show(thread, shown);
                }
                self.settle(thread);
            }
        }
    }

    /// All of the log was read that there is.
    fn at_its_end(&mut self, thread: ThreadId) {
        let Some(session) = self.sessions.get_mut(&thread) else {
            return;
        };
        let state = session.view.state();
        match session.stage {
            Stage::Live => return,
            Stage::Folding { replay: true } => {
                session.begin(Stage::Replaying);
                return self.opened(thread, &state);
            }
            Stage::Folding { replay: false } | Stage::Replaying => session.stage = Stage::Live,
        }
        let open: BTreeSet<_> = session.view.open().collect();
        let over: Vec<_> = session.asked.difference(&open).copied().collect();
        self.opened(thread, &state);
        for request in over {
            self.show(thread, Shown::Answered(request));
        }
        for request in open {
            self.permit(thread, request);
        }
    }

    /// Answers who waits for a session.
    fn opened(&mut self, thread: ThreadId, state: &Value) {
        let of_it = |waits: &mut Waits| matches!(waits.what, For::Log(other) if other == thread);
        let calls: Vec<_> = self.waits.extract_if(.., of_it).collect();
        for Waits { call, .. } in calls {
            let mut answer = state.clone();
            answer["sessionId"] = thread.to_string().into();
            self.reply(call, Ok(answer));
        }
    }

    /// Answers prompts whose turns are known to have ended.
    pub(super) fn settle(&mut self, thread: ThreadId) {
        let Some(session) = self.sessions.get_mut(&thread) else {
            return;
        };
        let found = session.find_turns();
        let ended = session.ended();
        for (key, turn, cancelled) in found {
            // From here on the log says what becomes of it.
            self.wishes.remove(&key);
            if cancelled {
                self.want(thread, Wanted::Cancel { turn }, None);
            }
        }
        for (call, end) in ended {
            let result = match end {
                TurnEnd::Completed { stop } => Ok(json!({"stopReason": words::stop(stop)})),
                TurnEnd::Cancelled => Ok(json!({"stopReason": "cancelled"})),
                TurnEnd::Failed { reason } => Err(reason),
            };
            self.reply(call, result);
        }
    }
}
