//! What a chat completion cost that passes through untouched.

use serde::Deserialize;
use serde_json::Value;

use super::{Usage, answer::Tokens};
use crate::sse::Lines;

/// The longest answer that is one object and is looked at for its cost.
const WHOLE_BYTES: usize = 16 << 20;

#[derive(Debug, Deserialize)]
struct Counted {
    #[serde(default)]
    usage: Option<Tokens>,
}

/// Finds the cost in an answer, of which it changes nothing.
#[derive(Debug)]
pub struct Meter {
    read: Read,
    usage: Option<Usage>,
}

#[derive(Debug)]
enum Read {
    Events(Lines),
    Whole(Vec<u8>),
    /// Beyond what is looked at.
    Lost,
}

impl Meter {
    /// Nothing came yet, of server-sent events or of one object.
    pub fn new(events: bool) -> Self {
        let read = if events {
            Read::Events(Lines::default())
        } else {
            Read::Whole(Vec::new())
        };
        Self { read, usage: None }
    }

    /// More of the answer came.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { read, usage } = self;
        match read {
            Read::Events(lines) => {
                let look = |data: &[u8]| *usage = cost(data).or(*usage);
                if lines.push(bytes, look).is_err() {
                    *read = Read::Lost;
                }
            }
            Read::Whole(whole) if whole.len() + bytes.len() <= WHOLE_BYTES => {
                whole.extend_from_slice(bytes);
            }
            Read::Whole(_) | Read::Lost => *read = Read::Lost,
        }
    }

    /// What it cost, as far as it came and as the upstream says.
    pub fn usage(&self) -> Option<Usage> {
        match &self.read {
            Read::Whole(whole) => cost(whole),
            Read::Events(_) | Read::Lost => self.usage,
        }
    }
}

/// The cost in an object, if it is there: most chunks of a stream have none.
fn cost(data: &[u8]) -> Option<Usage> {
    let named = data.windows(7).any(|it| it == b"\"usage\"");
    let counted: Counted = named.then(|| serde_json::from_slice(data).ok()).flatten()?;
    counted.usage.map(Usage::from)
}

/// A streamed request that asks for its cost, where it did not; `None` where nothing is to be
/// changed. The client then gets one more chunk, whose `choices` are empty. What it sent stays as
/// it is, byte for byte, unless it sent other `stream_options`.
pub fn with_usage(body: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Asked {
        #[serde(default)]
        stream: Option<bool>,
        #[serde(default)]
        stream_options: Option<Value>,
    }
    let asked: Asked = serde_json::from_slice(body).ok()?;
    if asked.stream != Some(true) {
        return None;
    }
    let Some(options) = asked.stream_options else {
        let begin = body.iter().position(|byte| *byte == b'{')? + 1;
        let option: &[u8] = br#""stream_options":{"include_usage":true},"#;
        return Some([&body[..begin], option, &body[begin..]].concat());
    };
    if options.get("include_usage") == Some(&Value::Bool(true)) {
        return None;
    }
    let mut body: Value = serde_json::from_slice(body).ok()?;
    *body
        .get_mut("stream_options")?
        .as_object_mut()?
        .entry("include_usage")
        .or_insert(Value::Null) = true.into();
    serde_json::to_vec(&body).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cost_is_found_in_events_and_in_one_object() {
        let usage = Usage {
            prompt: 7,
            completion: 2,
            cached: 4,
            reasoning: 0,
        };
        let counted = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}"#;
        let mut meter = Meter::new(true);
        meter.push(b"data: {\"choices\":[],\"usage\":null}\n\nda");
        meter.push(format!("ta: {counted}\n\ndata: [DONE]\n\n").as_bytes());
        assert_eq!(meter.usage(), Some(usage));
        let mut meter = Meter::new(false);
        meter.push(counted.as_bytes());
        assert_eq!(meter.usage(), Some(usage));
        assert_eq!(Meter::new(false).usage(), None);
    }

    #[test]
    fn a_streamed_request_is_made_to_ask_for_its_cost() {
        let check = |body: &str, expected: Option<Value>| {
            let made = with_usage(body.as_bytes());
            let made = made.map(|it| serde_json::from_slice::<Value>(&it).unwrap());
            assert_eq!(made, expected, "{body}");
        };
        check(r#"{"model":"m"}"#, None);
        check(
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            None,
        );
        check(
            r#"{"stream":true,"stream_options":{"x":1}}"#,
            Some(json!({"stream": true, "stream_options": {"x": 1, "include_usage": true}})),
        );
        check(
            r#"{"stream":true}"#,
            Some(json!({"stream": true, "stream_options": {"include_usage": true}})),
        );
    }
}
