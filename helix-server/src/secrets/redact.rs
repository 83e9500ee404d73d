//! Keeps the values of secrets out of text: of whole texts, and of streams that may cut
//! a value anywhere. Pure.
//!
//! What is found are the values as they are, as they stand in JSON, in a URL and in the
//! header of HTTP's basic authentication. Somebody who wants to show a value can write it
//! in a thousand other ways: this is against accidents, not against programs in the sandbox.

use std::{cmp::Reverse, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use helix_base::{ExposeSecret as _, SecretString};
use url::form_urlencoded;

/// What stands for a value.
const REDACTED: &str = "[redacted]";

/// Knows values, and takes them out of text. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    /// The values, each in all its forms.
    forms: Arc<[SecretString]>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor")
            .field("forms", &self.forms.len())
            .finish()
    }
}

impl Redactor {
    /// For these values, each with the name of who it is a password of, if of anyone.
    pub fn new(values: &[(Option<String>, SecretString)]) -> Self {
        let mut forms = Vec::new();
        for (user, value) in values {
            let value = value.expose_secret();
            if value.is_empty() {
                continue;
            }
            let json = serde_json::Value::String(value.to_owned()).to_string();
            let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let mut all = vec![
                value.to_owned(),
                json[1..json.len() - 1].to_owned(),
                encoded.replace('+', "%20"),
                encoded,
                BASE64_STANDARD.encode(value),
            ];
            if let Some(user) = user {
                all.push(BASE64_STANDARD.encode(format!("{user}:{value}")));
            }
            all.sort_unstable();
            all.dedup();
            forms.extend(all.into_iter().map(SecretString::from));
        }
        Self {
            forms: forms.into(),
        }
    }

    /// Whether it knows no value.
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// A whole text without the values.
    pub fn whole(&self, text: &str) -> String {
        self.replaced(text, text.len()).0
    }

    /// For a text that comes in parts.
    pub fn stream(&self) -> RedactedStream {
        RedactedStream {
            redactor: self.clone(),
            held: String::new(),
        }
    }

    /// Where a suffix of `text` begins that a value may go on from; its end without one.
    fn open_end(&self, text: &str) -> usize {
        let begins = |at: &usize| {
            let rest = &text[*at..];
            self.forms.iter().any(|form| {
                form.expose_secret().len() > rest.len() && form.expose_secret().starts_with(rest)
            })
        };
        let longest = self
            .forms
            .iter()
            .map(|form| form.expose_secret().len())
            .max();
        let from = text.len().saturating_sub(longest.unwrap_or(0));
        (from..text.len())
            .filter(|at| text.is_char_boundary(*at))
            .find(begins)
            .unwrap_or(text.len())
    }

    /// The text without the values that begin before `until`, and how much of it that is.
    /// Of values that begin at the same place the longest is taken.
    fn replaced(&self, text: &str, until: usize) -> (String, usize) {
        let mut out = String::with_capacity(until);
        let mut done = 0;
        // Where each form comes next, so that each looks at the text once.
        let find = |form: &SecretString, from: usize| {
            let at = text[from..].find(form.expose_secret());
            at.map_or(usize::MAX, |at| from + at)
        };
        let mut next: Vec<usize> = self.forms.iter().map(|form| find(form, 0)).collect();
        loop {
            for (form, at) in self.forms.iter().zip(&mut next) {
                if *at < done {
                    *at = find(form, done);
                }
            }
            let lengths = self.forms.iter().map(|form| form.expose_secret().len());
            let found = next.iter().copied().zip(lengths);
            let first = found.min_by_key(|(at, length)| (*at, Reverse(*length)));
            match first.filter(|(at, _)| *at < until) {
                Some((at, length)) => {
                    out.push_str(&text[done..at]);
                    out.push_str(REDACTED);
                    done = at + length;
                }
                None => break,
            }
        }
        if done < until {
            out.push_str(&text[done..until]);
            done = until;
        }
        (out, done)
    }
}

/// A text that comes in parts. What may be the beginning of a value is held back until
/// it is known not to be one, so that no value passes in pieces: at most as much as the
/// longest value.
#[derive(Clone)]
pub struct RedactedStream {
    redactor: Redactor,
    held: String,
}

impl std::fmt::Debug for RedactedStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedactedStream")
            .field("held_bytes", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl RedactedStream {
    /// Takes the next part; what is certain by now.
    #[must_use = "what is certain is passed on here and nowhere else"]
    pub fn push(&mut self, part: &str) -> String {
        self.held.push_str(part);
        let until = self.redactor.open_end(&self.held);
        let (out, done) = self.redactor.replaced(&self.held, until);
        self.held.drain(..done);
        out
    }

    /// Nothing more comes: what was held back.
    #[must_use = "what was held back is passed on here and nowhere else"]
    pub fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.held);
        self.redactor.whole(&rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redactor(values: &[&str]) -> Redactor {
        let pairs: Vec<_> = values
            .iter()
            .map(|value| {
                (
                    Some("me".to_owned()),
                    SecretString::from((*value).to_owned()),
                )
            })
            .collect();
        Redactor::new(&pairs)
    }

    #[test]
    fn a_value_is_taken_out_in_each_form_it_usually_has() {
        let redactor = redactor(&["p\"ss wörd/+"]);
        let basic = BASE64_STANDARD.encode("me:p\"ss wörd/+");
        for form in [
            "p\"ss wörd/+",
            "p\\\"ss wörd/+",
            "p%22ss+w%C3%B6rd%2F%2B",
            "p%22ss%20w%C3%B6rd%2F%2B",
            &basic,
        ] {
            assert_eq!(redactor.whole(&format!("a {form} b")), "a [redacted] b");
        }
        assert_eq!(redactor.whole("p\"ss wör"), "p\"ss wör");
        assert!(!format!("{redactor:?}").contains("rd/+"));
    }

    #[test]
    fn a_value_that_another_begins_with_hides_nothing_of_the_longer_one() {
        let redactor = redactor(&["abcdefgh", "abcdefghijkl"]);
        let mut stream = redactor.stream();
        let mut out = stream.push("xabcdefgh");
        out += &stream.push("ijkl y abcdefgh");
        out += &stream.push("!");
        out += &stream.finish();
        assert_eq!(out, "x[redacted] y [redacted]!");
    }

    #[test]
    fn without_secrets_everything_passes_at_once() {
        let mut stream = redactor(&[]).stream();
        assert_eq!(stream.push("hunter2"), "hunter2");
        assert_eq!(stream.finish(), "");
    }

    proptest! {
        #[test]
        fn however_it_is_cut_a_stream_says_what_the_whole_would(
            pieces in proptest::collection::vec("(aab|aabaac|aa|b|c|ä)", 0..12),
            cuts in proptest::collection::vec(0usize..40, 0..8),
        ) {
            let redactor = redactor(&["aabaac", "aab", "ä"]);
            let text = pieces.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| text.floor_char_boundary(at)).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let (mut stream, mut out, mut from) = (redactor.stream(), String::new(), 0);
            for at in cuts {
                out += &stream.push(&text[from..at]);
                from = at;
            }
            out += &stream.finish();
            prop_assert!(!out.contains("aab") && !out.contains('ä'));
            prop_assert_eq!(out, redactor.whole(&text));
        }
    }
}
