//! A conversation as every engine's template takes it: one system message at its beginning, no two
//! messages of one role in a row, results of tools right behind their calls.

use serde_json::{Map, Value, json};

use super::Upstream;

/// What stands between texts that become one.
const BETWEEN: &str = "\n\n";

/// A part of what a user says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Text(String),
    /// A picture or a file, as chat completions know it.
    Other(Value),
}

impl Part {
    /// A picture behind a URL, which may hold the picture itself.
    pub(crate) fn picture(url: &str, detail: Option<&str>) -> Self {
        let mut image = json!({"url": url});
        if let Some(detail) = detail {
            image["detail"] = detail.into();
        }
        Self::Other(json!({"type": "image_url", "image_url": image}))
    }

    /// A file that is here.
    pub(crate) fn file(name: &str, data: &str) -> Self {
        Self::Other(json!({"type": "file", "file": {"filename": name, "file_data": data}}))
    }
}

#[derive(Debug, Clone, Default)]
struct Said {
    reasoning: String,
    text: String,
    calls: Vec<Value>,
}

#[derive(Debug, Clone)]
enum Message {
    System(String),
    User(Vec<Part>),
    Assistant(Said),
    Result { id: String, text: String },
}

/// Puts a conversation together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conversation {
    messages: Vec<Message>,
    /// Of results of tools, what only a user's message may hold.
    shown: Vec<Part>,
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str(BETWEEN);
    }
    text.push_str(more);
}

impl Conversation {
    /// What the system says. Later than at the beginning it is said as the user would: most
    /// templates take no system message there.
    pub(crate) fn system(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.messages.as_mut_slice() {
            [] => self.messages.push(Message::System(text.to_owned())),
            [Message::System(system)] => append(system, text),
            _ => self.user(vec![Part::Text(text.to_owned())]),
        }
    }

    pub(crate) fn user(&mut self, parts: Vec<Part>) {
        let mut all = std::mem::take(&mut self.shown);
        all.extend(parts);
        match self.messages.last_mut() {
            Some(Message::User(said)) => said.append(&mut all),
            _ if all.is_empty() => {}
            _ => self.messages.push(Message::User(all)),
        }
    }

    /// What the model said before.
    pub(crate) fn said(&mut self, text: &str) {
        append(&mut self.assistant().text, text);
    }

    /// What the model thought before.
    pub(crate) fn thought(&mut self, text: &str) {
        append(&mut self.assistant().reasoning, text);
    }

    /// A call that the model made before.
    pub(crate) fn called(&mut self, id: &str, name: &str, arguments: &str) {
        let function = json!({"name": name, "arguments": arguments});
        let call = json!({"id": id, "type": "function", "function": function});
        self.assistant().calls.push(call);
    }

    /// What came of a call. Of pictures and files the model is told behind all results: tools
    /// answer in text.
    pub(crate) fn result(&mut self, id: &str, parts: Vec<Part>) {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(more) => append(&mut text, &more),
                other @ Part::Other(_) => self.shown.push(other),
            }
        }
        let id = id.to_owned();
        self.messages.push(Message::Result { id, text });
    }

    fn assistant(&mut self) -> &mut Said {
        if !self.shown.is_empty() {
            self.user(Vec::new());
        }
        if !matches!(self.messages.last(), Some(Message::Assistant(_))) {
            self.messages.push(Message::Assistant(Said::default()));
        }
        match self.messages.last_mut() {
            Some(Message::Assistant(said)) => said,
            _ => unreachable!("an assistant's message was just pushed"),
        }
    }

    /// The messages, as `upstream` takes them.
    pub(crate) fn into_messages(mut self, upstream: Upstream) -> Value {
        self.user(Vec::new());
        let messages = self.messages.into_iter();
        messages
            .filter_map(|message| match message {
                Message::System(text) => Some(json!({"role": "system", "content": text})),
                Message::User(parts) => Some(json!({"role": "user", "content": content(parts)})),
                Message::Assistant(said) => assistant(said, upstream),
                Message::Result { id, text } => {
                    Some(json!({"role": "tool", "tool_call_id": id, "content": text}))
                }
            })
            .collect()
    }
}

/// Texts alone become one text, which every template takes.
fn content(parts: Vec<Part>) -> Value {
    let only_text = parts.iter().all(|part| matches!(part, Part::Text(_)));
    if only_text {
        let mut text = String::new();
        for part in &parts {
            if let Part::Text(more) = part {
                append(&mut text, more);
            }
        }
        return text.into();
    }
    let parts = parts.into_iter().map(|part| match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Other(other) => other,
    });
    parts.collect()
}

fn assistant(said: Said, upstream: Upstream) -> Option<Value> {
    let Said {
        reasoning,
        text,
        calls,
    } = said;
    let thought = !reasoning.is_empty() && upstream == Upstream::Engine;
    if text.is_empty() && calls.is_empty() && !thought {
        return None;
    }
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    let silent = text.is_empty() && !calls.is_empty();
    let content = if silent { Value::Null } else { text.into() };
    message.insert("content".into(), content);
    if thought {
        message.insert("reasoning_content".into(), reasoning.into());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".into(), calls.into());
    }
    Some(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<Part> {
        vec![Part::Text(text.to_owned())]
    }

    #[test]
    fn what_is_said_in_a_row_becomes_one_message_and_pictures_follow_all_results() {
        let mut conversation = Conversation::default();
        conversation.system("Be brief.");
        conversation.system("");
        conversation.system("Be kind.");
        conversation.user(text("a"));
        conversation.user(text("b"));
        conversation.system("now in German");
        conversation.thought("hm");
        conversation.called("1", "look", "{}");
        conversation.called("2", "look", "{}");
        let picture = Part::picture("data:image/png;base64,AA==", None);
        conversation.result("1", vec![Part::Text("seen".into()), picture]);
        conversation.result("2", text("nothing"));
        conversation.said("I see.");
        let call = |id| json!({"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}});
        let image =
            json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
        assert_eq!(
            conversation.into_messages(Upstream::Engine),
            json!([
                {"role": "system", "content": "Be brief.\n\nBe kind."},
                {"role": "user", "content": "a\n\nb\n\nnow in German"},
                {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [call("1"), call("2")]},
                {"role": "tool", "tool_call_id": "1", "content": "seen"},
                {"role": "tool", "tool_call_id": "2", "content": "nothing"},
                {"role": "user", "content": [image]},
                {"role": "assistant", "content": "I see."},
            ])
        );
    }

    #[test]
    fn openai_is_not_told_what_was_thought() {
        let mut conversation = Conversation::default();
        conversation.user(text("a"));
        conversation.thought("hm");
        conversation.user(text("b"));
        assert_eq!(
            conversation.into_messages(Upstream::OpenAi),
            json!([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
        );
    }
}
