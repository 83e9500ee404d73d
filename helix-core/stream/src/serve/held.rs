//! Input that waits until the clipboard has what was put into it before. Pure.
//!
//! A viewer that pastes says what, and then the key that pastes it: a program that got the key
//! first would paste what was there before.

use crate::{hub::ViewerId, input::Input};

/// Inputs that wait at most; where there are more, none waits any longer.
const MOST: usize = 1_024;

/// What waits, in order.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Whether there is a clipboard that says when it has something.
    clipboard: bool,
    puts: u64,
    /// The put that is waited for.
    waits: Option<u64>,
    inputs: Vec<(ViewerId, Input)>,
}

impl Held {
    /// Another desktop, or none: what waited was for the one before.
    pub(super) fn restart(&mut self, clipboard: bool) {
        self.clipboard = clipboard;
        self.waits = None;
        self.inputs.clear();
    }

    /// Something is put into the clipboard: its number.
    pub(super) fn put(&mut self) -> u64 {
        self.puts += 1;
        self.waits = self.clipboard.then_some(self.puts);
        self.puts
    }

    /// Input comes: what is to be done now.
    pub(super) fn input(&mut self, id: ViewerId, input: Input) -> Vec<(ViewerId, Input)> {
        self.inputs.push((id, input));
        if self.waits.is_some() && self.inputs.len() <= MOST {
            return Vec::new();
        }
        self.waits = None;
        std::mem::take(&mut self.inputs)
    }

    /// A put is over, however it ended: what is to be done now.
    pub(super) fn done(&mut self, put: u64) -> Vec<(ViewerId, Input)> {
        if self.waits.is_some_and(|waits| waits > put) {
            return Vec::new();
        }
        self.waits = None;
        std::mem::take(&mut self.inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ViewerId = ViewerId(1);

    fn text(text: &str) -> Input {
        Input::Text(text.to_owned())
    }

    #[test]
    fn input_waits_for_the_last_put_before_it_and_keeps_its_order() {
        let mut held = Held::default();
        held.restart(true);
        assert_eq!(held.input(ONE, text("a")), [(ONE, text("a"))]);
        let first = held.put();
        assert_eq!(held.input(ONE, text("b")), []);
        let second = held.put();
        assert_eq!(held.input(ONE, text("c")), []);
        assert_eq!(held.done(first), []);
        assert_eq!(held.done(second), [(ONE, text("b")), (ONE, text("c"))]);
        assert_eq!(held.input(ONE, text("d")), [(ONE, text("d"))]);
    }

    #[test]
    fn nothing_waits_without_a_clipboard_nor_beyond_the_bound() {
        let mut held = Held::default();
        held.put();
        assert_eq!(held.input(ONE, text("a")).len(), 1);
        held.restart(true);
        held.put();
        for _ in 0..MOST {
            assert_eq!(held.input(ONE, text("b")), []);
        }
        assert_eq!(held.input(ONE, text("c")).len(), MOST + 1);
        assert_eq!(held.input(ONE, text("d")).len(), 1);
    }
}
