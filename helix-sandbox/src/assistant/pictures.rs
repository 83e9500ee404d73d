//! Pictures that tools answer, as a model is given them. Pure.
//!
//! An answer of a tool is text to chat completions, so pictures follow it as if the user sent them.
//! They are large, and of a desktop as it was: only the newest are kept.

use serde_json::{Value, json};

/// A picture, with its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) mime: String,
    /// In base64.
    pub(super) data: String,
}

const SHOWN: &str = "What the tools above answered as pictures, in their order:";
const OLD: &str = "(an older picture was left out)";
/// When there are more than so many, or of more bytes, all but the newest are left out: not one with
/// each that comes, since whatever follows a change the model has to read anew.
const MANY: usize = 8;
const LARGE: usize = 12 << 20;
const KEPT: usize = 3;
/// The largest that is given at all.
pub(super) const LARGEST: usize = LARGE / KEPT;

/// The message with which they are given.
pub(super) fn shown(pictures: &[Picture]) -> Value {
    let mut parts = vec![json!({"type": "text", "text": SHOWN})];
    parts.extend(pictures.iter().map(|picture| {
        let url = format!("data:{};base64,{}", picture.mime, picture.data);
        json!({"type": "image_url", "image_url": {"url": url}})
    }));
    json!({"role": "user", "content": parts})
}

/// Leaves out what is old, if there is too much.
pub(super) fn bound(said: &mut [Value]) {
    let of_tools = said.iter_mut().filter(|message| {
        let first = message.pointer("/content/0/text");
        first.and_then(Value::as_str) == Some(SHOWN)
    });
    let mut pictures: Vec<&mut Value> = of_tools.flat_map(all).collect();
    let bytes: usize = pictures.iter().map(|picture| size(picture)).sum();
    if pictures.len() <= MANY && bytes <= LARGE {
        return;
    }
    let old = pictures.len() - KEPT.min(pictures.len());
    for picture in &mut pictures[..old] {
        **picture = json!({"type": "text", "text": OLD});
    }
}

/// The same without any picture, for a model that was refused them; nothing where there is none.
pub(super) fn without(said: &[Value], why: &str) -> Option<Vec<Value>> {
    let mut said = said.to_vec();
    let mut pictures: Vec<&mut Value> = said.iter_mut().flat_map(all).collect();
    if pictures.is_empty() {
        return None;
    }
    let text = format!("(a picture that you cannot be shown: {why})");
    for picture in &mut pictures {
        **picture = json!({"type": "text", "text": text});
    }
    Some(said)
}

fn all(message: &mut Value) -> impl Iterator<Item = &mut Value> {
    let parts = message.get_mut("content").and_then(Value::as_array_mut);
    let parts = parts.into_iter().flatten();
    parts.filter(|part| part.get("image_url").is_some())
}

fn size(picture: &Value) -> usize {
    let url = picture.pointer("/image_url/url").and_then(Value::as_str);
    url.map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(name: &str) -> Picture {
        Picture {
            mime: "image/png".to_owned(),
            data: name.to_owned(),
        }
    }

    fn left(said: &[Value]) -> Vec<String> {
        let mut said = said.to_vec();
        let pictures = said.iter_mut().flat_map(all);
        let url = |picture: &mut Value| picture["image_url"]["url"].as_str().map(str::to_owned);
        let urls: Vec<_> = pictures.filter_map(url).collect();
        let name = |url: &String| url.rsplit(',').next().map(str::to_owned);
        urls.iter().filter_map(name).collect()
    }

    #[test]
    fn the_newest_pictures_are_kept_and_those_of_people() {
        let own = json!({"role": "user", "content": [
            {"type": "text", "text": "see"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,own"}},
        ]});
        let mut said = vec![own, json!({"role": "user", "content": "text"})];
        for number in 0..MANY {
            said.push(shown(&[picture(&number.to_string())]));
            bound(&mut said);
        }
        assert_eq!(left(&said).len(), MANY + 1);
        said.push(shown(&[picture("a"), picture("b")]));
        bound(&mut said);
        assert_eq!(left(&said), ["own", "7", "a", "b"]);
        assert_eq!(said[2]["content"][1]["text"], OLD);
        said.push(shown(&[picture(&"x".repeat(LARGE))]));
        bound(&mut said);
        assert_eq!(left(&said)[..3], ["own", "a", "b"]);
    }

    #[test]
    fn a_model_that_sees_nothing_is_told_so() {
        let said = [
            json!({"role": "user", "content": "look"}),
            shown(&[picture("a")]),
        ];
        let told = without(&said, "no vision").unwrap();
        assert!(left(&told).is_empty());
        assert_eq!(
            told[1]["content"][1]["text"],
            "(a picture that you cannot be shown: no vision)"
        );
        assert_eq!(without(&told, "again"), None);
    }
}
