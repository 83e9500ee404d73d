//! What an editor shows of a session, folded from its log, an entry at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use helix_proto::{
    ThreadId, TurnId,
    agents::{
        AgentPhase, Choice, Content, Entry, EventBody, HeldBecause, PermissionOption, ToolContent,
        ToolStatus, ToolUpdate, TurnEnd,
    },
};
use serde_json::{Value, json};

use super::words;

/// Bytes of a terminal's output that are shown: its end.
const OUTPUT: usize = 8 << 10;
/// Terminals that are remembered.
const TERMINALS: usize = 1_024;
/// Ends of turns, and prompts of editors, that are remembered.
const REMEMBERED: usize = 256;

/// A request for a permission that is open: its thread, and its number there.
pub(super) type Request = (ThreadId, u64);

/// What an entry means for an editor.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shown {
    /// A `session/update`.
    Update(Value),
    /// Somebody is asked for a permission.
    Asked(Request),
    /// Nobody is asked any more.
    Answered(Request),
}

#[derive(Debug, Default)]
struct Terminal {
    call: String,
    output: String,
}

/// A request, as it is asked.
#[derive(Debug, Clone)]
pub(super) struct Permission {
    call: ToolUpdate,
    options: Vec<PermissionOption>,
}

/// The session as its log says it.
#[derive(Debug, Default)]
pub(super) struct View {
    /// What queued prompts say, and whether somebody gave them another wording.
    queue: BTreeMap<TurnId, (Vec<Content>, bool)>,
    running: Option<TurnId>,
    modes: Option<(String, Vec<Choice>)>,
    models: Option<(String, Vec<Choice>)>,
    permissions: BTreeMap<Request, Permission>,
    /// Calls that have a terminal, with all that they made.
    calls: BTreeMap<String, Vec<ToolContent>>,
    terminals: BTreeMap<String, Terminal>,
    /// The turns that editors' prompts became, by the event that wanted them.
    wanted: VecDeque<(Request, TurnId)>,
    ends: VecDeque<(TurnId, TurnEnd)>,
}

impl View {
    /// The turn in flight.
    pub(super) const fn running(&self) -> Option<TurnId> {
        self.running
    }

    /// The turn that an editor's prompt became.
    pub(super) fn turn_of(&self, wanted: Request) -> Option<TurnId> {
        let mut known = self.wanted.iter().rev();
        known.find(|(by, _)| *by == wanted).map(|(_, turn)| *turn)
    }

    /// How a turn ended, if it did.
    pub(super) fn end_of(&self, turn: TurnId) -> Option<&TurnEnd> {
        let mut known = self.ends.iter().rev();
        known.find(|(other, _)| *other == turn).map(|(_, end)| end)
    }

    /// Requests for permissions that are open.
    pub(super) fn open(&self) -> impl Iterator<Item = Request> {
        self.permissions.keys().copied()
    }

    /// A request that is open, as an editor is asked.
    pub(super) fn request(&self, request: Request, session: ThreadId) -> Option<Value> {
        let Permission { call, options } = self.permissions.get(&request)?;
        let mut tool = words::tool_update(call);
        if let Some(content) = &call.content {
            tool.insert("content".to_owned(), self.contents(content));
        }
        Some(json!({
            "sessionId": session.to_string(),
            "toolCall": tool,
            "options": words::options(options),
        }))
    }

    /// What a session begins with.
    pub(super) fn state(&self) -> Value {
        let mut state = json!({});
        if let Some((current, available)) = &self.modes {
            state["modes"] = words::modes(current, available);
        }
        if let Some((current, available)) = &self.models {
            state["configOptions"] = words::models(current, available);
        }
        state
    }

    /// The options of a session whose model is being set.
    pub(super) fn with_model(&self, model: &str) -> Value {
        let available = self.models.as_ref().map_or(&[][..], |(_, all)| all);
        json!({"configOptions": words::models(model, available)})
    }

    /// The next entry of the log; `own` are turns whose prompts the editor shows already.
    pub(super) fn apply(&mut self, entry: Entry, own: &BTreeSet<TurnId>) -> Vec<Shown> {
        match entry {
            Entry::PromptQueued { prompt, .. } => {
                if let Some(by) = prompt.wanted {
                    remember(&mut self.wanted, ((by.thread, by.seq), prompt.turn));
                }
                self.queue.insert(prompt.turn, (prompt.content, false));
                Vec::new()
            }
            Entry::PromptEdited { prompt } => {
                self.queue.insert(prompt.turn, (prompt.content, true));
                Vec::new()
            }
            Entry::TurnDispatched { turn } => {
                self.running = Some(turn);
                let (content, edited) = self.queue.remove(&turn).unwrap_or_default();
                if own.contains(&turn) && !edited {
                    return Vec::new();
                }
                let chunk = |content| Shown::Update(words::prompt(turn, content));
                content.iter().map(chunk).collect()
            }
            Entry::TurnEnded { turn, end } => self.ended(turn, end, own),
            Entry::QueueHeld { because } => {
                let why = match because {
                    HeldBecause::Interrupted => "somebody interrupted the agent",
                    HeldBecause::Failed => "the turn before failed",
                };
                vec![aside(&format!(
                    "The prompts that wait are held, since {why}: the session's page lets them go on."
                ))]
            }
            Entry::Agent { thread, event } => self.said((thread, event.seq), event.body),
            Entry::PermissionAnswered {
                thread, request, ..
            } => self.answered((thread, request)),
            Entry::ThreadOver { reason, .. } => {
                vec![aside(&format!("The agent's thread is over: {reason}."))]
            }
            Entry::PromptMoved { .. }
            | Entry::Cloning { .. }
            | Entry::QueueReleased
            | Entry::TurnRunning { .. }
            | Entry::TurnAwaiting { .. }
            | Entry::TurnWaiting { .. }
            | Entry::TurnGoesOn { .. }
            | Entry::ThreadOpened { .. } => Vec::new(),
        }
    }

    fn ended(&mut self, turn: TurnId, end: TurnEnd, own: &BTreeSet<TurnId>) -> Vec<Shown> {
        self.queue.remove(&turn);
        if self.running == Some(turn) {
            self.running = None;
        }
        // Whose prompt it is hears so by the answer to that.
        let shown = match &end {
            TurnEnd::Failed { reason } if !own.contains(&turn) => {
                vec![aside(&format!("The turn failed: {reason}."))]
            }
            _ => Vec::new(),
        };
        remember(&mut self.ends, (turn, end));
        shown
    }

    fn said(&mut self, at: Request, body: EventBody) -> Vec<Shown> {
        match body {
            EventBody::Message { content } => {
                vec![Shown::Update(words::chunk("agent_message_chunk", &content))]
            }
            EventBody::Thought { content } => {
                vec![Shown::Update(words::chunk("agent_thought_chunk", &content))]
            }
            EventBody::ToolCall(call) => {
                let mut update = words::tool_call(&call);
                self.calls.remove(&call.id);
                self.keep(&call.id, &call.content);
                update["content"] = self.contents(&call.content);
                vec![Shown::Update(update)]
            }
            EventBody::ToolUpdate(update) => {
                let mut fields = words::tool_update(&update);
                if let Some(content) = &update.content {
                    self.keep(&update.id, content);
                    fields.insert("content".to_owned(), self.contents(content));
                }
                fields.insert("sessionUpdate".to_owned(), "tool_call_update".into());
                vec![Shown::Update(fields.into())]
            }
            EventBody::Terminal {
                terminal, output, ..
            } => self.printed(&terminal, &output),
            EventBody::Plan { entries } => vec![Shown::Update(words::plan(&entries))],
            EventBody::Commands { available } => vec![Shown::Update(words::commands(&available))],
            EventBody::Modes { current, available } => {
                let update =
                    json!({"sessionUpdate": "current_mode_update", "currentModeId": current});
                let before = self.modes.replace((current, available));
                changed(before.as_ref(), self.modes.as_ref(), update)
            }
            EventBody::Models { current, available } => {
                let options = words::models(&current, &available);
                let update =
                    json!({"sessionUpdate": "config_option_update", "configOptions": options});
                let before = self.models.replace((current, available));
                changed(before.as_ref(), self.models.as_ref(), update)
            }
            EventBody::PermissionRequested { call, options } => {
                let call = *call;
                self.permissions.insert(at, Permission { call, options });
                vec![Shown::Asked(at)]
            }
            EventBody::Usage {
                context_tokens,
                context_size,
                cost,
            } => {
                let usage = words::usage(context_tokens, context_size, cost.as_ref());
                vec![Shown::Update(usage)]
            }
            EventBody::Title { title } => {
                let update = json!({"sessionUpdate": "session_info_update", "title": title});
                vec![Shown::Update(update)]
            }
            EventBody::Notice { text } => vec![aside(&text)],
            EventBody::Agent {
                phase: AgentPhase::Stopped,
                detail,
            } => vec![aside(&format!("The agent stopped: {detail}"))],
            // What concerns turns, requests and wishes has entries of its own.
            _ => Vec::new(),
        }
    }

    /// A request is over: whoever was asked for it is not any more. What became of the call its
    /// agent says.
    fn answered(&mut self, request: Request) -> Vec<Shown> {
        let Some(permission) = self.permissions.remove(&request) else {
            return Vec::new();
        };
        let status = permission.call.status.unwrap_or(ToolStatus::Pending);
        let update = json!({
            "sessionUpdate": "tool_call_update",
            "toolCallId": permission.call.id,
            "status": words::status(status),
        });
        vec![Shown::Answered(request), Shown::Update(update)]
    }

    /// Remembers what a call made, if a terminal is among it.
    fn keep(&mut self, call: &str, content: &[ToolContent]) {
        let terminals = content.iter().filter_map(|content| match content {
            ToolContent::Terminal { terminal } => Some(terminal),
            _ => None,
        });
        if self.terminals.len() > TERMINALS {
            self.terminals.clear();
            self.calls.clear();
        }
        let mut any = false;
        for terminal in terminals {
            any = true;
            let known = self.terminals.entry(terminal.clone()).or_default();
            call.clone_into(&mut known.call);
        }
        if any {
            self.calls.insert(call.to_owned(), content.to_vec());
        }
    }

    fn printed(&mut self, terminal: &str, output: &str) -> Vec<Shown> {
        let known = self.terminals.entry(terminal.to_owned()).or_default();
        known.output.push_str(output);
        let from = known.output.len().saturating_sub(OUTPUT);
        let from = known.output.ceil_char_boundary(from);
        known.output.drain(..from);
        let call = known.call.clone();
        let Some(content) = self.calls.get(&call) else {
            return Vec::new();
        };
        vec![Shown::Update(json!({
            "sessionUpdate": "tool_call_update",
            "toolCallId": call,
            "content": self.contents(content),
        }))]
    }

    fn contents(&self, contents: &[ToolContent]) -> Value {
        let output = |terminal: &str| {
            let known = self.terminals.get(terminal);
            known.map_or_else(String::new, |known| known.output.trim_end().to_owned())
        };
        let shown = contents.iter().flat_map(|content| {
            [
                Some(words::tool_content(content, output)),
                words::left_out(content),
            ]
        });
        shown.flatten().collect()
    }
}

fn remember<T>(known: &mut VecDeque<T>, next: T) {
    if known.len() >= REMEMBERED {
        known.pop_front();
    }
    known.push_back(next);
}

/// An update of something that an editor knows to be otherwise, or not at all.
fn changed<T: PartialEq>(before: Option<&T>, now: Option<&T>, update: Value) -> Vec<Shown> {
    if before == now {
        return Vec::new();
    }
    vec![Shown::Update(update)]
}

/// Something that is not the agent's word.
fn aside(text: &str) -> Shown {
    let text = Content::text(format!("{text}\n\n"));
    Shown::Update(words::chunk("agent_thought_chunk", &text))
}

#[cfg(test)]
mod tests;
