//! One conversation that an editor is in.

use std::collections::BTreeSet;

use helix_proto::{
    ThreadId, TurnId,
    agents::{TurnEnd, Wanted},
};
use serde_json::{Value, json};

use crate::editor::view::{Request, View};

/// How far a session's log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// To its end, to know how things are; then again, if the editor is to see it.
    Folding {
        /// Whether it is.
        replay: bool,
    },
    /// To its end, and the editor sees it.
    Replaying,
    /// What follows.
    Live,
}

/// A prompt whose call waits for the end of its turn.
#[derive(Debug)]
pub(super) struct Prompt {
    pub(super) call: u64,
    pub(super) key: String,
    /// The event that wanted it.
    pub(super) wanted: Option<Request>,
    pub(super) turn: Option<TurnId>,
    /// It was cancelled before its turn was known.
    pub(super) cancelled: bool,
}

/// A conversation.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) view: View,
    /// What was read up to.
    pub(super) after: u64,
    pub(super) stage: Stage,
    pub(super) prompts: Vec<Prompt>,
    /// Requests that the editor's user is asked for.
    pub(super) asked: BTreeSet<Request>,
}

impl Session {
    pub(super) fn new(stage: Stage) -> Self {
        Self {
            view: View::default(),
            after: 0,
            stage,
            prompts: Vec::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Reads its log anew.
    pub(super) fn begin(&mut self, stage: Stage) {
        self.view = View::default();
        self.after = 0;
        self.stage = stage;
    }

    /// What the editor is answered that set something.
    pub(super) fn set(&self, wanted: &Wanted) -> Value {
        match wanted {
            Wanted::SetModel { model } => self.view.with_model(model),
            _ => json!({}),
        }
    }

    pub(super) fn noted(&mut self, key: &str, wanted: Request) {
        if let Some(prompt) = self.prompts.iter_mut().find(|prompt| prompt.key == key) {
            prompt.wanted = Some(wanted);
        }
    }

    /// A prompt was refused; its call, unless it had a turn, whose end is in the log.
    pub(super) fn refused(&mut self, key: &str) -> Option<u64> {
        let mut prompts = self.prompts.iter();
        let at = prompts.position(|prompt| prompt.key == key && prompt.turn.is_none())?;
        Some(self.prompts.remove(at).call)
    }

    /// Finds the turns that prompts became: the key of each, and whether it is to be cancelled.
    pub(super) fn find_turns(&mut self) -> Vec<(String, TurnId, bool)> {
        let mut found = Vec::new();
        let unknown = self
            .prompts
            .iter_mut()
            .filter(|prompt| prompt.turn.is_none());
        for prompt in unknown {
            if let Some(turn) = prompt.wanted.and_then(|wanted| self.view.turn_of(wanted)) {
                prompt.turn = Some(turn);
                found.push((prompt.key.clone(), turn, prompt.cancelled));
            }
        }
        found
    }

    /// Prompts whose turn has ended: their calls, and how.
    pub(super) fn ended(&mut self) -> Vec<(u64, TurnEnd)> {
        let view = &self.view;
        let mut ended = Vec::new();
        self.prompts.retain(|prompt| {
            let end = prompt.turn.and_then(|turn| view.end_of(turn).cloned());
            let goes_on = end.is_none();
            ended.extend(end.map(|end| (prompt.call, end)));
            goes_on
        });
        ended
    }
}

/// Joins a piece of text to the one before it, of the same kind.
pub(super) fn join(before: &mut Value, next: &Value) -> bool {
    let kind = &next["sessionUpdate"];
    let said = kind == "agent_message_chunk" || kind == "agent_thought_chunk";
    if !said || before["sessionUpdate"] != *kind {
        return false;
    }
    match (&mut before["content"]["text"], &next["content"]["text"]) {
        (Value::String(text), Value::String(more)) => {
            text.push_str(more);
            true
        }
        _ => false,
    }
}

/// What an editor names a session by.
pub(super) fn parse(session: &str) -> Result<ThreadId, String> {
    let thread = session.parse();
    thread.map_err(|_| format!("there is no session {session:?} in this sandbox"))
}
