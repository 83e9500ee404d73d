//! Reads a model's answer: OpenAI's chat completion, as a stream of
//! server-sent events. Pure: bytes in, happenings out.

use helix_proto::session::Usage;
use serde::Deserialize;

use super::turn::Happening;

/// The longest line that is put together.
const LINE_BYTES: usize = 1 << 20;

/// What is read of a chunk; the rest is of no concern here.
#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// Puts an answer together from its bytes, however they were cut.
#[derive(Debug, Default)]
pub(super) struct Reply {
    line: Vec<u8>,
    finished: bool,
}

impl Reply {
    /// More bytes came.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Happening> {
        let mut happenings = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.read(&line, &mut happenings);
            } else if self.line.len() > LINE_BYTES {
                happenings.push(Happening::Failed(
                    "the model's answer has a line without end".into(),
                ));
                self.line.clear();
            }
        }
        happenings
    }

    /// Nothing more will come.
    pub(super) fn end(mut self) -> Vec<Happening> {
        let mut happenings = Vec::new();
        let line = std::mem::take(&mut self.line);
        self.read(&line, &mut happenings);
        happenings.push(if self.finished {
            Happening::Completed
        } else {
            Happening::Failed("the model's answer broke off".into())
        });
        happenings
    }

    fn read(&mut self, line: &[u8], happenings: &mut Vec<Happening>) {
        let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else {
            return;
        };
        if data == b"[DONE]" {
            self.finished = true;
            return;
        }
        match serde_json::from_slice::<Chunk>(data) {
            Ok(chunk) => self.chunk(chunk, happenings),
            Err(error) => happenings.push(Happening::Failed(format!(
                "the model's answer is not what OpenAI's API says: {error}"
            ))),
        }
    }

    fn chunk(&mut self, chunk: Chunk, happenings: &mut Vec<Happening>) {
        if let Some(error) = chunk.error {
            happenings.push(Happening::Failed(message(&error)));
            return;
        }
        if let Some(choice) = chunk.choices.into_iter().next() {
            self.finished |= choice.finish_reason.is_some();
            let text = choice
                .delta
                .and_then(|delta| delta.content.or(delta.refusal));
            // PostgreSQL's TEXT takes every character but this.
            let text = text
                .map(|text| text.replace('\0', ""))
                .filter(|text| !text.is_empty());
            happenings.extend(text.map(Happening::Delta));
        }
        if let Some(tokens) = chunk.usage {
            happenings.push(Happening::Usage(Usage {
                prompt_tokens: tokens.prompt_tokens,
                completion_tokens: tokens.completion_tokens,
            }));
        }
    }
}

/// The reason in an error answer, whichever of the usual shapes it has.
pub(super) fn message(error: &serde_json::Value) -> String {
    let text = error
        .pointer("/error/message")
        .or_else(|| error.pointer("/message"))
        .or_else(|| error.pointer("/error"))
        .unwrap_or(error);
    let text = text
        .as_str()
        .map_or_else(|| text.to_string(), ToOwned::to_owned);
    text.replace('\0', "").chars().take(2_000).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &str = concat!(
        ": comment\n\n",
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Grüße \"}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"🎈\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    );

    fn read(parts: &[&[u8]]) -> Vec<Happening> {
        let mut reply = Reply::default();
        let mut happenings: Vec<_> = parts.iter().flat_map(|part| reply.push(part)).collect();
        happenings.extend(reply.end());
        happenings
    }

    fn whole() -> Vec<Happening> {
        vec![
            Happening::Delta("Grüße ".into()),
            Happening::Delta("🎈".into()),
            Happening::Usage(Usage {
                prompt_tokens: 3,
                completion_tokens: 2,
            }),
            Happening::Completed,
        ]
    }

    proptest! {
        #[test]
        fn an_answer_is_the_same_however_its_bytes_are_cut(mut cuts in prop::collection::vec(0..ANSWER.len(), 0..8)) {
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts {
                parts.push(&ANSWER.as_bytes()[from..cut]);
                from = cut;
            }
            parts.push(&ANSWER.as_bytes()[from..]);
            prop_assert_eq!(read(&parts), whole());
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let happenings = read(&[&bytes]);
            prop_assert!(!happenings.is_empty());
        }
    }

    #[test]
    fn an_error_in_the_stream_is_the_reason_of_the_failure() {
        let happenings = read(&[b"data: {\"error\":{\"message\":\"out of memory\"}}\n\n"]);
        assert_eq!(happenings[0], Happening::Failed("out of memory".into()));
    }

    #[test]
    fn an_answer_that_stops_without_an_end_has_failed() {
        let happenings = read(&[b"data: {\"choices\":[{\"delta\":{\"content\":\"ha\"}}]}\n\n"]);
        assert_eq!(happenings[0], Happening::Delta("ha".into()));
        assert_eq!(
            happenings[1],
            Happening::Failed("the model's answer broke off".into())
        );
    }
}
