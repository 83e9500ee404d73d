//! What an agent says in many small pieces: the first goes at once, what follows it closely is
//! joined for a few milliseconds.

use std::time::Duration;

use helix_agent::host::Fact;
use helix_proto::agents::{Content, EventBody};
use tokio::time::Instant;

/// How long after something was said what comes next is gathered.
const JOINED: Duration = Duration::from_millis(5);

/// Bytes of text from which nothing is waited for.
const ENOUGH: usize = 16 << 10;

/// Facts, each with its place where it is the last of a line.
pub(super) type Facts = Vec<(Option<u64>, Fact)>;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Batch {
    facts: Facts,
    bytes: usize,
    /// Until when what comes is gathered.
    gathers: Option<Instant>,
}

impl Batch {
    /// When it is to be said; none where it is empty.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if self.facts.is_empty() {
            return None;
        }
        let gathers = self.gathers.filter(|_| !self.is_full());
        Some(gathers.map_or(now, |until| until.max(now)))
    }

    /// Whether it is not to wait any longer.
    fn is_full(&self) -> bool {
        let urgent = |(_, fact): &(Option<u64>, Fact)| match fact {
            Fact::Said(body) => !matches!(
                **body,
                EventBody::Message { .. } | EventBody::Thought { .. } | EventBody::Terminal { .. }
            ),
            _ => true,
        };
        self.bytes >= ENOUGH || self.facts.last().is_some_and(urgent)
    }

    /// What is to be said.
    pub(super) fn take(&mut self, now: Instant) -> Facts {
        self.bytes = 0;
        self.gathers = Some(now + JOINED);
        std::mem::take(&mut self.facts)
    }

    /// Adds what one line said, whose place is the last fact's.
    pub(super) fn push(&mut self, mut place: Option<u64>, facts: Vec<Fact>) {
        let last = facts.len().saturating_sub(1);
        for (number, fact) in facts.into_iter().enumerate() {
            let at = if number == last { place.take() } else { None };
            self.add(at, fact);
        }
    }

    fn add(&mut self, place: Option<u64>, fact: Fact) {
        if let Some((at, before)) = self.facts.last_mut()
            && join(before, &fact, &mut self.bytes)
        {
            *at = place.or(*at);
            return;
        }
        if let Some(text) = said(&fact) {
            self.bytes += text.len();
        }
        self.facts.push((place, fact));
    }
}

/// The text that a fact adds to what was said before.
fn said(fact: &Fact) -> Option<&str> {
    match fact {
        Fact::Said(body) => match &**body {
            EventBody::Message {
                content: Content::Text { text },
            }
            | EventBody::Thought {
                content: Content::Text { text },
            } => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// Joins a text to the one before it, of the same kind.
fn join(before: &mut Fact, next: &Fact, bytes: &mut usize) -> bool {
    let (Fact::Said(before), Fact::Said(next)) = (before, next) else {
        return false;
    };
    match (&mut **before, &**next) {
        (
            EventBody::Message {
                content: Content::Text { text },
            },
            EventBody::Message {
                content: Content::Text { text: more },
            },
        )
        | (
            EventBody::Thought {
                content: Content::Text { text },
            },
            EventBody::Thought {
                content: Content::Text { text: more },
            },
        ) if text.len() + more.len() <= 2 * ENOUGH => {
            text.push_str(more);
            *bytes += more.len();
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Fact {
        let content = Content::text(text);
        Fact::Said(Box::new(EventBody::Message { content }))
    }

    #[test]
    fn texts_of_one_kind_are_joined_and_have_the_last_place() {
        let mut batch = Batch::default();
        let thought = Content::text("hm");
        let thought = Fact::Said(Box::new(EventBody::Thought { content: thought }));
        batch.push(Some(1), vec![message("a")]);
        batch.push(Some(2), vec![message("b")]);
        batch.push(Some(3), vec![thought.clone()]);
        batch.push(Some(4), vec![message("c")]);
        let expected = vec![
            (Some(2), message("ab")),
            (Some(3), thought),
            (Some(4), message("c")),
        ];
        let now = Instant::now();
        assert_eq!(batch.take(now), expected);
        assert_eq!(batch.due(now), None);
    }

    #[test]
    fn a_text_by_itself_does_not_wait_and_what_follows_it_closely_does() {
        let mut batch = Batch::default();
        let now = Instant::now();
        batch.push(Some(1), vec![message("a")]);
        assert_eq!(batch.due(now), Some(now));
        batch.take(now);
        batch.push(Some(2), vec![message("b")]);
        assert_eq!(batch.due(now), Some(now + JOINED));
        batch.push(Some(3), vec![message("c")]);
        let later = now + JOINED / 2;
        assert_eq!(batch.due(later), Some(now + JOINED), "it waits no longer");
        let late = now + 2 * JOINED;
        assert_eq!(batch.due(late), Some(late));
        assert_eq!(batch.take(late), vec![(Some(3), message("bc"))]);
    }

    #[test]
    fn what_is_no_text_does_not_wait_and_the_last_fact_of_a_line_has_its_place() {
        let mut batch = Batch::default();
        let ready = Fact::Ready {
            session: "s".into(),
            resumed: false,
        };
        let plan = Fact::Said(Box::new(EventBody::Plan {
            entries: Vec::new(),
        }));
        batch.push(Some(7), vec![ready.clone(), plan.clone()]);
        let now = Instant::now();
        batch.gathers = Some(now + JOINED);
        assert_eq!(batch.due(now), Some(now));
        assert_eq!(batch.take(now), vec![(None, ready), (Some(7), plan)]);
    }
}
