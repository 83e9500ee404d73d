//! Which key types what. Pure.
//!
//! The server's own layout where it has the keysym, on a key alone or with Shift; else a key that
//! no layout uses, which is given the keysym: the one that was used longest ago.

use std::collections::HashMap;

/// Keysyms of Shift.
const SHIFTS: [u32; 2] = [0xffe1, 0xffe2];

/// A keyboard's layout, and the keys that it leaves.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// By keysym.
    usual: HashMap<u32, Stroke>,
    spare: Vec<Spare>,
    time: u64,
}

#[derive(Debug)]
struct Spare {
    code: u8,
    keysym: u32,
    used: u64,
}

/// How something is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stroke {
    /// The server's number of the key.
    pub(super) code: u8,
    /// Whether with Shift.
    pub(super) shift: bool,
    /// Whether the key has to be given the keysym before.
    pub(super) is_new: bool,
}

impl Keys {
    /// Of what the server says: keysyms by key from `first` on, `width` of each.
    pub(super) fn new(first: u8, width: usize, keysyms: &[u32]) -> Self {
        let mut keys = Self::default();
        for (code, levels) in (first..=u8::MAX).zip(keysyms.chunks(width.max(1))) {
            if levels.iter().all(|keysym| *keysym == 0) {
                keys.spare.push(Spare {
                    code,
                    keysym: 0,
                    used: 0,
                });
                continue;
            }
            for (level, keysym) in levels.iter().take(2).enumerate() {
                let stroke = Stroke {
                    code,
                    shift: level == 1,
                    is_new: false,
                };
                let known = keys.usual.entry(*keysym).or_insert(stroke);
                // A key alone is better than one with Shift.
                if known.shift && !stroke.shift {
                    *known = stroke;
                }
            }
        }
        keys.usual.remove(&0);
        keys
    }

    /// The key of Shift.
    pub(super) fn shift(&self) -> Option<u8> {
        let known = SHIFTS.iter().find_map(|keysym| self.usual.get(keysym));
        known.map(|stroke| stroke.code)
    }

    /// How a keysym is typed; `held` are keys that are down and stay what they are. None where
    /// there is no such keysym, or no key is left for it.
    pub(super) fn stroke(&mut self, keysym: u32, held: &[u8]) -> Option<Stroke> {
        if keysym == 0 || keysym > 0x1fff_ffff {
            return None;
        }
        if let Some(stroke) = self.usual.get(&keysym) {
            return Some(*stroke);
        }
        self.time += 1;
        let known = self.spare.iter().position(|spare| spare.keysym == keysym);
        let oldest = || {
            let free = self.spare.iter().enumerate();
            free.filter(|(_, spare)| !held.contains(&spare.code))
                .min_by_key(|(_, spare)| spare.used)
                .map(|(at, _)| at)
        };
        let at = known.or_else(oldest)?;
        let spare = self.spare.get_mut(at)?;
        (spare.keysym, spare.used) = (keysym, self.time);
        Some(Stroke {
            code: spare.code,
            shift: false,
            is_new: known.is_none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys 8 to 12: Shift, `a` and `A`, `1` and `!`, and two that are free.
    fn keys() -> Keys {
        let keysyms = [0xffe1, 0, 0x61, 0x41, 0x31, 0x21, 0, 0, 0, 0];
        Keys::new(8, 2, &keysyms)
    }

    fn stroke(code: u8, shift: bool, is_new: bool) -> Option<Stroke> {
        Some(Stroke {
            code,
            shift,
            is_new,
        })
    }

    #[test]
    fn what_the_layout_has_is_typed_by_it() {
        let mut keys = keys();
        assert_eq!(keys.shift(), Some(8));
        assert_eq!(keys.stroke(0x61, &[]), stroke(9, false, false));
        assert_eq!(keys.stroke(0x21, &[]), stroke(10, true, false));
    }

    #[test]
    fn what_it_has_not_gets_the_key_that_was_used_longest_ago() {
        let mut keys = keys();
        assert_eq!(keys.stroke(0xe4, &[]), stroke(11, false, true));
        assert_eq!(keys.stroke(0xf6, &[]), stroke(12, false, true));
        assert_eq!(keys.stroke(0xe4, &[]), stroke(11, false, false));
        assert_eq!(keys.stroke(0xfc, &[]), stroke(12, false, true));
        // What is held stays what it is.
        assert_eq!(keys.stroke(0xdf, &[11]), stroke(12, false, true));
        assert_eq!(keys.stroke(0xf6, &[11, 12]), None);
    }

    #[test]
    fn what_is_no_keysym_has_no_key() {
        assert_eq!(keys().stroke(0, &[]), None);
        assert_eq!(keys().stroke(0x2000_0000, &[]), None);
    }
}
