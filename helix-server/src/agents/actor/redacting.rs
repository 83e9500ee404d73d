//! What an agent did, without the secrets that its sandbox was given.
//!
//! A text that comes in many events may have a value in it that no event has all of. So an event
//! whose text ends with what may be the beginning of a value is held back here, with all that
//! follow, until no text ends so: mostly until the next event. **What is held is in memory alone and
//! is not acknowledged**: the host has it still, and says it again after a cut, or after a crash of
//! either side; so nothing is lost, and what is stored is the same for every reader. An event keeps
//! its number; what its text ended with moves to the event in which it goes on. An event that is
//! followed by nothing is shown after [`HELD_MS`], with no more of a value than tells nothing of it.

use std::collections::{BTreeMap, VecDeque};

use helix_agent::Gap;
use helix_proto::{
    ThreadId,
    agents::{Content, Event, EventBody, Known},
};

use crate::secrets::{RedactedStream, Redactor};

/// How long an event waits for the next.
const HELD_MS: u64 = 1_000;
/// How many wait, and their bytes, at most.
const HELD: usize = 1_024;
const HELD_BYTES: usize = 1 << 20;
/// Texts that may go on at once, at most.
const TEXTS: usize = 64;
/// Said instead of an event that is not one any more without the values.
const WITHHELD: &str = "what the agent said here held a secret, and is left out";

/// What an agent says, on its way to be stored.
#[derive(Debug, Default)]
pub(super) struct Redacting {
    redactor: Redactor,
    /// Those that end with what may be the beginning of a value.
    texts: BTreeMap<Text, Open>,
    /// The same, as they were before what is held: nothing of them is held back.
    settled: BTreeMap<Text, Open>,
    /// With the time at which each came.
    held: VecDeque<(u64, Event)>,
    bytes: usize,
    thread: Option<ThreadId>,
}

/// A text that comes in many events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Text {
    Message,
    Thought,
    Terminal(String),
}

/// What is known of one.
#[derive(Debug, Clone)]
struct Open {
    stream: RedactedStream,
    /// The last event that went on with it.
    last: u64,
}

impl Redacting {
    /// The secrets may be others from now on.
    pub(super) fn knows(&mut self, redactor: Redactor) {
        if self.redactor.knows_the_same(&redactor) {
            return;
        }
        for open in self.texts.values_mut().chain(self.settled.values_mut()) {
            open.stream.renew(&redactor);
        }
        self.redactor = redactor;
    }

    /// A text of the control plane's own, without the values.
    pub(super) fn whole(&self, text: &str) -> String {
        self.redactor.whole(text)
    }

    /// What is held is said again by its host.
    pub(super) fn forget(&mut self) {
        self.texts.clone_from(&self.settled);
        self.held.clear();
        self.bytes = 0;
    }

    /// When what is held is to be [shown](Self::show).
    pub(super) fn until_ms(&self) -> Option<u64> {
        let first = self.held.front();
        first.map(|(at_ms, _)| at_ms.saturating_add(HELD_MS))
    }

    /// Takes what a host says next of a thread, after what is stored; what is to be stored now.
    ///
    /// # Errors
    /// One was left out.
    pub(super) fn take(
        &mut self,
        known: &Known,
        events: Vec<Event>,
        now_ms: u64,
    ) -> Result<Vec<Event>, Gap> {
        if self.thread != Some(known.thread) {
            self.settled.clear();
            self.forget();
            self.thread = Some(known.thread);
        }
        if self.redactor.is_empty() && self.held.is_empty() {
            return Ok(events);
        }
        let stored = known.acknowledged;
        let mut last = self.held.back().map_or(stored, |(_, event)| event.seq);
        let mut out = Vec::new();
        for event in events {
            if event.seq <= stored {
                // To be acknowledged again.
                out.push(event);
                continue;
            }
            if event.seq <= last {
                continue;
            }
            if event.seq != last + 1 {
                let (got, expected) = (event.seq, last + 1);
                return Err(Gap { got, expected });
            }
            last = event.seq;
            self.event(event, now_ms);
            if self.held.len() >= HELD || self.bytes >= HELD_BYTES || self.texts.len() > TEXTS {
                self.show_texts();
            }
            self.settle(&mut out);
        }
        Ok(out)
    }

    /// What waited for long enough, and of which thread.
    pub(super) fn show(&mut self, now_ms: u64) -> Option<(ThreadId, Vec<Event>)> {
        self.until_ms().filter(|until_ms| *until_ms <= now_ms)?;
        self.show_texts();
        let mut out = Vec::new();
        self.settle(&mut out);
        Some((self.thread?, out))
    }

    fn event(&mut self, mut event: Event, now_ms: u64) {
        self.bytes += event.body.bytes();
        let text = self.text(&event.body);
        self.end(&event.body, text.as_ref());
        let part = text.zip(part(&mut event.body));
        let Some((text, part)) = part else {
            self.held
                .push_back((now_ms, redacted(&self.redactor, event)));
            return;
        };
        let new = || self.redactor.stream();
        let open = self.texts.remove(&text).map(|open| open.stream);
        let mut stream = open.unwrap_or_else(new);
        *part = stream.push(part);
        if stream.is_open() {
            let last = event.seq;
            self.texts.insert(text, Open { stream, last });
        }
        self.held.push_back((now_ms, event));
    }

    /// The text that an event goes on with, where it is one.
    fn text(&self, body: &EventBody) -> Option<Text> {
        if self.redactor.is_empty() {
            return None;
        }
        match body {
            EventBody::Message {
                content: Content::Text { .. },
            } => Some(Text::Message),
            EventBody::Thought {
                content: Content::Text { .. },
            } => Some(Text::Thought),
            EventBody::Terminal { terminal, .. } => (self.redactor.whole(terminal) == *terminal)
                .then(|| Text::Terminal(terminal.clone())),
            _ => None,
        }
    }

    /// Ends the texts that do not go on after an event, which goes on with one itself or none.
    fn end(&mut self, body: &EventBody, goes_on: Option<&Text>) {
        let ends = |text: &Text| match text {
            // Terminals write beside what an agent says.
            Text::Message | Text::Thought => {
                goes_on != Some(text)
                    && !matches!(
                        body,
                        EventBody::Terminal { .. } | EventBody::TerminalEnded { .. }
                    )
            }
            Text::Terminal(own) => match body {
                EventBody::Terminal {
                    terminal,
                    omitted_bytes,
                    ..
                } => terminal == own && *omitted_bytes > 0,
                EventBody::TerminalEnded { terminal, .. } => terminal == own,
                EventBody::TurnEnded { .. } | EventBody::Agent { .. } | EventBody::Closed => true,
                _ => false,
            },
        };
        let ended: Vec<Text> = self
            .texts
            .keys()
            .filter(|text| ends(text))
            .cloned()
            .collect();
        for text in ended {
            if let Some(mut open) = self.texts.remove(&text) {
                let rest = open.stream.finish();
                self.append(open.last, &rest);
            }
        }
    }

    /// Adds what a text's stream gave up to its last event.
    fn append(&mut self, last: u64, rest: &str) {
        let held = self.held.iter_mut().rev();
        let event = { held }.find(|(_, event)| event.seq == last);
        if let Some(text) = event.and_then(|(_, event)| part(&mut event.body)) {
            text.push_str(rest);
        }
    }

    fn show_texts(&mut self) {
        let texts = std::mem::take(&mut self.texts);
        for (text, mut open) in texts {
            let shown = open.stream.show();
            self.append(open.last, &shown);
            if self.texts.len() < TEXTS {
                self.texts.insert(text, open);
            }
        }
    }

    /// Lets go of what is held where no text's stream has anything of it.
    fn settle(&mut self, out: &mut Vec<Event>) {
        if self.texts.values().any(|open| open.stream.held_bytes() > 0) {
            return;
        }
        out.extend(self.held.drain(..).map(|(_, event)| event));
        self.bytes = 0;
        self.settled.clone_from(&self.texts);
    }
}

/// The text of an event that is a part of one.
const fn part(body: &mut EventBody) -> Option<&mut String> {
    match body {
        EventBody::Message {
            content: Content::Text { text },
        }
        | EventBody::Thought {
            content: Content::Text { text },
        } => Some(text),
        EventBody::Terminal { output, .. } => Some(output),
        _ => None,
    }
}

/// An event of another kind as it is kept. A value is found where an event has all of it.
fn redacted(redactor: &Redactor, event: Event) -> Event {
    if redactor.is_empty() {
        return event;
    }
    let Ok(json) = serde_json::to_string(&event.body) else {
        return event;
    };
    let clean = redactor.whole(&json);
    if clean == json {
        return event;
    }
    let body = serde_json::from_str(&clean).unwrap_or_else(|_| EventBody::Notice {
        text: WITHHELD.to_owned(),
    });
    Event { body, ..event }
}

#[cfg(test)]
mod tests;
