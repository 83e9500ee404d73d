//! What editors in the sandbox want: an event as every other, which the control plane decides.
//!
//! An editor whose connection broke does not know whether it was heard. It says the same again,
//! with the same key, and hears the same.

use helix_proto::agents::{EventBody, MAX_NAME, Wanted};

use super::{Effect, Thread, cut};
use crate::host::Wish;

/// Wishes that are remembered.
const WISHES: usize = 64;

impl Thread {
    pub(super) fn wanted(&mut self, key: String, wanted: Wanted) {
        if let Some(known) = self.record.wishes.iter().find(|wish| wish.key == key) {
            let effect = match known.refused.clone() {
                Some(reason) => Effect::Refused { key, reason },
                None => Effect::Noted {
                    key,
                    seq: known.seq,
                },
            };
            return self.effect(effect);
        }
        let body = EventBody::Wanted(wanted);
        if let Some(reason) = self.refuses(&key, &body) {
            return self.effect(Effect::Refused { key, reason });
        }
        let seq = self.append(body);
        if self.record.wishes.len() >= WISHES {
            self.record.wishes.pop_front();
        }
        self.record.wishes.push_back(Wish {
            key: key.clone(),
            seq,
            refused: None,
        });
        self.dirty = true;
        self.effect(Effect::Noted { key, seq });
    }

    fn refuses(&self, key: &str, body: &EventBody) -> Option<String> {
        if self.record.closing || self.record.closed || self.record.forgotten {
            return Some("the conversation is over".to_owned());
        }
        let kept = self.saved.as_ref().map_or(0, |saved| saved.journal.bytes());
        if !self.reading || kept >= self.limits.full {
            let why = "the control plane has not taken what was said before: try again later";
            return Some(why.to_owned());
        }
        if key.len() > MAX_NAME {
            return Some("its key is too long".to_owned());
        }
        body.check().err().map(|error| error.to_string())
    }

    /// The control plane does not do what an editor wanted.
    pub(super) fn unwanted(&mut self, seq: u64, reason: &str) {
        let reason = cut(reason);
        let known = self.record.wishes.iter_mut().find(|wish| wish.seq == seq);
        if let Some(wish) = known {
            wish.refused = Some(reason.clone());
            let key = wish.key.clone();
            self.dirty = true;
            self.effect(Effect::Refused { key, reason });
        }
    }
}
