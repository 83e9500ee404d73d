//! What an agent says, cut to the bounds of what may be said of it.

use helix_proto::agents::{
    Content, EventBody, MAX_EVENT, MAX_NAME, ToolCall, ToolContent, ToolUpdate,
};
use serde_json::Value;

use super::Out;

/// Bytes of a text in one event: as JSON, each may be six.
const PIECE: usize = 32 << 10;

/// Bytes of JSON that a tool's input or output may have.
const RAW: usize = 32 << 10;

/// Bytes of JSON that what a tool says may have, input and output aside.
const SAID: usize = 160 << 10;

/// A text's beginning, of so many bytes at most.
pub(super) fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// A text in pieces that fit.
pub(super) fn pieces(mut text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE));
        pieces.push(piece.to_owned());
        text = rest;
    }
    pieces
}

/// Whether an event fits; else what is said in its place.
pub(super) fn check(event: &EventBody) -> Result<(), String> {
    let bytes = event.bytes();
    if bytes > MAX_EVENT {
        return Err(format!(
            "the agent said something of {bytes} bytes, which was left out"
        ));
    }
    Ok(())
}

/// As much of a list as fits into its event.
pub(super) fn list<T: Clone>(list: &mut Vec<T>, event: impl Fn(Vec<T>) -> EventBody) -> Vec<Out> {
    let all = list.len();
    loop {
        let whole = event(list.clone());
        if whole.bytes() <= MAX_EVENT {
            let mut out = vec![Out::say(whole)];
            if list.len() < all {
                let left_out = all - list.len();
                out.push(Out::notice(format!(
                    "{left_out} entries of {all} were left out"
                )));
            }
            return out;
        }
        list.truncate(list.len() / 2);
    }
}

/// Cuts a call.
pub(super) fn call(call: &mut ToolCall) {
    call.id = id(&call.id);
    call.title = cut(&call.title, 1 << 10);
    call.locations.truncate(64);
    if let Some(input) = &mut call.input {
        raw(input);
    }
    contents(&mut call.content);
}

/// Cuts an update.
pub(super) fn update(update: &mut ToolUpdate) {
    update.id = id(&update.id);
    if let Some(title) = &mut update.title {
        *title = cut(title, 1 << 10);
    }
    if let Some(locations) = &mut update.locations {
        locations.truncate(64);
    }
    for value in [&mut update.input, &mut update.output]
        .into_iter()
        .flatten()
    {
        raw(value);
    }
    if let Some(content) = &mut update.content {
        contents(content);
    }
}

/// The same id is cut in the same way.
fn id(id: &str) -> String {
    cut(id, MAX_NAME)
}

fn raw(value: &mut Value) {
    let bytes = value.to_string();
    if bytes.len() > RAW {
        let rest = bytes.len() - RAW / 8;
        *value = format!("{}… ({rest} bytes more)", cut(&bytes, RAW / 8)).into();
    }
}

fn contents(contents: &mut Vec<ToolContent>) {
    let bytes = |contents: &[ToolContent]| {
        serde_json::to_vec(contents).map_or(usize::MAX, |json| json.len())
    };
    let mut most = PIECE;
    // Less of each, until all of it fits, and then fewer.
    while bytes(contents) > SAID {
        if most < 512 {
            contents.truncate(contents.len() / 2);
        }
        for content in contents.iter_mut() {
            shorten(content, most);
        }
        most /= 2;
    }
}

fn shorten(content: &mut ToolContent, most: usize) {
    match content {
        ToolContent::Content {
            content: Content::Text { text } | Content::Resource { text, .. },
        } if text.len() > most => {
            // The end of what a program says matters most.
            let from = text.ceil_char_boundary(text.len() - most);
            *text = format!("({from} bytes left out) …{}", &text[from..]);
        }
        ToolContent::Content {
            content: content @ (Content::Image { .. } | Content::Audio { .. }),
        } if most < PIECE => {
            *content = Content::text("(a picture or sound was left out: it is too large)");
        }
        ToolContent::Diff(diff) => {
            for text in diff.before.iter_mut().chain([&mut diff.after]) {
                let kept = cut(text, most);
                diff.omitted_bytes += (text.len() - kept.len()) as u64;
                *text = kept;
            }
            diff.path = cut(&diff.path, 4 << 10);
        }
        ToolContent::Content { .. } | ToolContent::Terminal { .. } => {}
    }
}
