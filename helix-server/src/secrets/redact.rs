//! Keeps the values of secrets out of text: of whole texts, and of streams that may cut
//! a value anywhere. Pure.
//!
//! What is found are the values as they are, as they stand in JSON, in a URL and in the
//! header of HTTP's basic authentication. Somebody who wants to show a value can write it
//! in a thousand other ways: this is against accidents, not against programs in the sandbox.

use std::{cmp::Reverse, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use helix_base::{ExposeSecret, SecretString};
use url::form_urlencoded;

/// What stands for a value.
const REDACTED: &str = "[redacted]";

/// This part of a value tells nothing of it.
const TELLING: usize = 4;

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

    /// Whether both know the same values.
    pub(crate) fn knows_the_same(&self, other: &Self) -> bool {
        let forms = self.forms.iter().map(ExposeSecret::expose_secret);
        forms.eq(other.forms.iter().map(ExposeSecret::expose_secret))
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
            shown: 0,
            hidden: false,
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
    /// How much of what is held was shown nevertheless, and whether as no more than a sign.
    shown: usize,
    hidden: bool,
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
        self.passed(&out, done)
    }

    /// Nothing more comes: what was held back.
    #[must_use = "what was held back is passed on here and nowhere else"]
    pub fn finish(&mut self) -> String {
        let out = self.redactor.whole(&self.held);
        self.passed(&out, self.held.len())
    }

    /// What is held back is shown now, though it may be the beginning of a value: where it is so
    /// much that it tells of the value, as a sign. What comes next is still taken to follow on it.
    #[must_use = "what was held back is passed on here and nowhere else"]
    pub fn show(&mut self) -> String {
        let more = self.held[self.shown..].to_owned();
        self.shown = self.held.len();
        if more.is_empty() || self.hidden {
            return String::new();
        }
        let mut forms = self.redactor.forms.iter().map(|form| form.expose_secret());
        let tells = |form: &str| TELLING.saturating_mul(self.held.len()) > form.len();
        self.hidden = forms.any(|form| form.starts_with(&self.held) && tells(form))
            || self.redactor.whole(&self.held) != self.held;
        if self.hidden {
            return REDACTED.to_owned();
        }
        more
    }

    /// Knows other values from now on.
    pub(crate) fn renew(&mut self, redactor: &Redactor) {
        self.redactor = redactor.clone();
    }

    /// Bytes that are held back and not shown.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.held.len() - self.shown
    }

    /// Whether what comes next may follow on something.
    pub(crate) const fn is_open(&self) -> bool {
        !self.held.is_empty()
    }

    /// `done` bytes of what is held became `out`: what of it was not shown before.
    fn passed(&mut self, out: &str, done: usize) -> String {
        let shown = self.shown.min(done);
        let same = out.bytes().zip(self.held[..shown].bytes());
        let same = same.take_while(|(out, held)| out == held).count();
        let mut new = &out[out.floor_char_boundary(same)..];
        // A value began in what was shown.
        if self.hidden && same < shown {
            new = new.strip_prefix(REDACTED).unwrap_or(new);
        }
        let new = new.to_owned();
        self.held.drain(..done);
        self.shown -= shown;
        self.hidden &= self.shown > 0;
        new
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

    #[test]
    fn what_was_shown_early_is_not_said_again_and_the_rest_of_a_value_is_hidden() {
        let redactor = redactor(&["ghp_0123456789abcdef"]);
        let mut stream = redactor.stream();
        let mut out = stream.push("the key is g");
        out += &stream.show();
        assert_eq!(out, "the key is g");
        out += &stream.push("ood: gh");
        out += &stream.show();
        assert_eq!(out, "the key is good: gh");
        out += &stream.push("p_012345678");
        out += &stream.show();
        out += &stream.show();
        assert_eq!(out, "the key is good: gh[redacted]");
        out += &stream.push("9abcdef, see");
        out += &stream.finish();
        assert_eq!(out, "the key is good: gh[redacted], see");
    }

    proptest! {
        #[test]
        fn nothing_is_doubled_and_no_value_passes_where_what_is_held_is_shown_in_between(
            pieces in proptest::collection::vec("(secret-number-one|secret|number|xyxyxyxz|xy|x|ä| )", 0..12),
            cuts in proptest::collection::vec((0usize..90, any::<bool>()), 0..12),
        ) {
            let redactor = redactor(&["secret-number-one", "xyxyxyxz"]);
            let text = pieces.concat();
            let cut = |(at, show)| (text.floor_char_boundary(at), show);
            let mut cuts: Vec<(usize, bool)> = cuts.into_iter().map(cut).collect();
            cuts.push((text.len(), false));
            cuts.sort_unstable();
            let (mut stream, mut out, mut from) = (redactor.stream(), String::new(), 0);
            for (at, show) in cuts {
                out += &stream.push(&text[from..at]);
                if show {
                    out += &stream.show();
                }
                from = at;
            }
            out += &stream.finish();
            prop_assert!(!out.contains("secret-number-one") && !out.contains("xyxyxyxz"), "{}", out);
            // What was hidden early stands for a part that was none of a value, or too little of
            // one; all that is no part of any is there.
            prop_assert_eq!(out.matches('ä').count(), text.matches('ä').count());
            prop_assert_eq!(out.matches(' ').count(), text.matches(' ').count());
        }

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
