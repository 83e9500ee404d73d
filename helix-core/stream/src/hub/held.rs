//! What a viewer holds down.

use std::collections::BTreeSet;

use helix_proto::desktop::{Button, Key, Point, TouchPhase};

use crate::input::Input;

/// Keys that one viewer may hold at once, and fingers that it may touch with.
pub const MAX_HELD: usize = 64;

/// What a viewer holds down.
#[derive(Debug, Default)]
pub(crate) struct Held {
    keys: Vec<Key>,
    buttons: Vec<Button>,
    fingers: BTreeSet<u8>,
}

impl Held {
    /// Whether the key's state changes by this.
    pub(crate) fn key(&mut self, key: Key, down: bool) -> bool {
        change(&mut self.keys, key, down)
    }

    /// Whether the button's state changes by this.
    pub(crate) fn button(&mut self, button: Button, down: bool) -> bool {
        change(&mut self.buttons, button, down)
    }

    /// Whether a finger can do this: touch where it does not, or go on where it does.
    pub(crate) fn touch(&mut self, phase: TouchPhase, finger: u8) -> bool {
        match phase {
            TouchPhase::Down => self.fingers.len() < MAX_HELD && self.fingers.insert(finger),
            TouchPhase::Move => self.fingers.contains(&finger),
            TouchPhase::Up | TouchPhase::Cancelled => self.fingers.remove(&finger),
        }
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.buttons.is_empty() && self.fingers.is_empty()
    }

    /// Lets go of everything: the last that went down first.
    pub(crate) fn release(&mut self) -> Vec<Input> {
        let keys = self.keys.drain(..).rev();
        let mut inputs: Vec<_> = keys.map(|key| Input::Key { key, down: false }).collect();
        let buttons = self.buttons.drain(..).rev();
        inputs.extend(buttons.map(|button| Input::Button {
            button,
            down: false,
        }));
        let fingers = std::mem::take(&mut self.fingers).into_iter();
        inputs.extend(fingers.map(|finger| Input::Touch {
            phase: TouchPhase::Cancelled,
            finger,
            at: Point::default(),
        }));
        inputs
    }
}

fn change<T: PartialEq>(held: &mut Vec<T>, one: T, down: bool) -> bool {
    let at = held.iter().position(|known| *known == one);
    match (at, down) {
        (None, true) if held.len() < MAX_HELD => held.push(one),
        (Some(at), false) => drop(held.remove(at)),
        _ => return false,
    }
    true
}
