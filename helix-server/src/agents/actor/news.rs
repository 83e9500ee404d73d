//! What lists show of a conversation, read from what changed.

use helix_agent::control::Change;
use helix_proto::agents::{AgentPhase, Content, Entry, EventBody};

use crate::{sessions::title_of, store::agents::Title};

/// The longest title that an agent gives, in characters; as people's.
const TITLE: usize = 200;

fn entries(changes: &[Change]) -> impl DoubleEndedIterator<Item = &Entry> {
    changes.iter().filter_map(|change| match change {
        Change::Log { entry } => Some(&**entry),
        _ => None,
    })
}

/// Whether somebody asked something: the session changed, for whoever looks at its list.
pub(super) fn is_asked(changes: &[Change]) -> bool {
    entries(changes).any(|entry| matches!(entry, Entry::PromptQueued { .. }))
}

/// The title that follows from what changed: what the agent calls the conversation, or the
/// beginning of what it was asked.
pub(super) fn title(changes: &[Change]) -> Option<Title> {
    let given = entries(changes).rev().find_map(|entry| match entry {
        Entry::Agent { event, .. } => match &event.body {
            EventBody::Title { title } => line(title).map(Title::Agent),
            _ => None,
        },
        _ => None,
    });
    let asked = || {
        entries(changes).find_map(|entry| match entry {
            Entry::PromptQueued { prompt, .. } => {
                let texts = prompt.content.iter().filter_map(|piece| match piece {
                    Content::Text { text } => Some(title_of(text)),
                    _ => None,
                });
                let mut titles = texts.filter(|title| !title.is_empty());
                titles.next().map(Title::Prompt)
            }
            _ => None,
        })
    };
    given.or_else(asked)
}

/// A title as a line of bounded length.
fn line(title: &str) -> Option<String> {
    let plain = title.chars().map(|c| if c.is_control() { ' ' } else { c });
    let line: String = plain.take(TITLE).collect();
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// Where the agent's process is after what changed.
pub(super) fn follow_phase(phase: &mut Option<AgentPhase>, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Thread { .. } => *phase = None,
            Change::Log { entry } => {
                if let Entry::Agent { event, .. } = &**entry
                    && let EventBody::Agent { phase: now, .. } = event.body
                {
                    *phase = Some(now);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_title_is_one_line_of_bounded_length() {
        assert_eq!(line(" Fix\nthe build "), Some("Fix the build".to_owned()));
        assert_eq!(line("\n\t"), None);
        assert_eq!(
            line(&"é".repeat(500)).map(|it| it.chars().count()),
            Some(200)
        );
    }
}
