//! What a model is asked: OpenAI's chat completion request.

use bytes::Bytes;
use helix_proto::session::Turn;
use serde_json::json;

/// The longest title taken from a message, in characters.
const TITLE: usize = 60;

/// The request for a turn, after the turns that stand before it.
///
/// A turn that ended without any answer is left out: many chat templates refuse
/// two questions in a row.
pub(super) fn request(history: &[Turn], turn: &Turn) -> Bytes {
    let mut messages = Vec::with_capacity(history.len() * 2 + 1);
    for past in history
        .iter()
        .filter(|past| !past.assistant_content.is_empty())
    {
        messages.push(json!({"role": "user", "content": past.user_content}));
        messages.push(json!({"role": "assistant", "content": past.assistant_content}));
    }
    messages.push(json!({"role": "user", "content": turn.user_content}));
    let request = json!({
        "model": turn.model,
        "messages": messages,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    request.to_string().into()
}

/// A title from the first message: its first line, cut between words.
pub(crate) fn title(content: &str) -> String {
    let line = content
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.chars().count() <= TITLE {
        return line;
    }
    let cut: String = line.chars().take(TITLE).collect();
    let words = cut.rfind(char::is_whitespace).filter(|at| *at > TITLE / 2);
    format!("{}…", cut[..words.unwrap_or(cut.len())].trim_end())
}

#[cfg(test)]
mod tests {
    use helix_proto::{SessionId, TurnId, TypedId as _, session::TurnState};

    use super::*;

    fn turn(question: &str, answer: &str) -> Turn {
        Turn {
            id: TurnId::from_parts(1, 1),
            session_id: SessionId::from_parts(1, 1),
            state: TurnState::Completed,
            user_content: question.into(),
            assistant_content: answer.into(),
            model: "m".into(),
            error: None,
            waiting_for: None,
            usage: None,
            created_at_ms: 1,
            ended_at_ms: None,
        }
    }

    #[test]
    fn the_request_holds_questions_and_answers_in_turn() {
        let history = [turn("one", "1"), turn("failed", ""), turn("two", "2")];
        let request = request(&history, &turn("three", ""));
        let request: serde_json::Value = serde_json::from_slice(&request).unwrap();
        let messages = request["messages"].as_array().unwrap();
        let contents: Vec<_> = messages
            .iter()
            .map(|message| message["content"].as_str().unwrap())
            .collect();
        assert_eq!(contents, ["one", "1", "two", "2", "three"]);
        assert_eq!(messages[1]["role"], "assistant");
        assert_eq!(request["stream"], true);
    }

    #[test]
    fn a_title_is_the_beginning_of_the_message_cut_between_words() {
        assert_eq!(title("\n  What is\tit?  \nmore"), "What is it?");
        let long = "word ".repeat(30);
        let title = title(&long);
        assert!(title.ends_with("word…"), "{title}");
        assert!(title.chars().count() <= TITLE + 1);
        assert_eq!(super::title(&"🎈".repeat(80)).chars().count(), TITLE + 1);
    }
}
