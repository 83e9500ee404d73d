//! Which modifiers are in force, from the keys that are down. Pure.
//!
//! A virtual keyboard has to say so itself: the compositor does not work it out.

/// The bits of XKB's real modifiers.
const SHIFT: u32 = 1;
const LOCK: u32 = 2;
const CONTROL: u32 = 4;
const MOD1: u32 = 8;
const MOD2: u32 = 16;
const MOD4: u32 = 64;
const MOD5: u32 = 128;

/// Which modifiers are in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Modifiers {
    /// Keys that are down and are modifiers, with their bits.
    down: Vec<(u16, u32)>,
    locked: u32,
    /// Whether the right Alt chooses the third level of keys, as on most layouts but US.
    third_level: bool,
}

impl Modifiers {
    pub(super) fn new(third_level: bool) -> Self {
        Self {
            third_level,
            ..Self::default()
        }
    }

    /// A key goes down or up; whether that changes anything.
    pub(super) fn key(&mut self, code: u16, down: bool) -> bool {
        let before = (self.depressed(), self.locked);
        match code {
            58 if down => self.locked ^= LOCK,
            69 if down => self.locked ^= MOD2,
            _ => {
                self.down.retain(|(known, _)| *known != code);
                let bits = self.bits(code).filter(|_| down);
                self.down.extend(bits.map(|bits| (code, bits)));
            }
        }
        before != (self.depressed(), self.locked)
    }

    /// Those of keys that are down.
    pub(super) fn depressed(&self) -> u32 {
        self.down.iter().fold(0, |all, (_, bits)| all | bits)
    }

    /// Whether Shift is down.
    pub(super) fn has_shift(&self) -> bool {
        self.depressed() & SHIFT != 0
    }

    /// Whether one is down that makes shortcuts of keys.
    pub(super) fn makes_shortcuts(&self) -> bool {
        self.depressed() & (CONTROL | MOD1 | MOD4) != 0
    }

    /// Those that stay: Caps Lock and Num Lock.
    pub(super) const fn locked(&self) -> u32 {
        self.locked
    }

    const fn bits(&self, code: u16) -> Option<u32> {
        Some(match code {
            42 | 54 => SHIFT,
            29 | 97 => CONTROL,
            56 => MOD1,
            100 if self.third_level => MOD5,
            100 => MOD1,
            125 | 126 => MOD4,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_are_in_force_while_one_of_their_keys_is_down() {
        let mut modifiers = Modifiers::new(false);
        assert!(!modifiers.key(30, true));
        assert!(modifiers.key(42, true));
        assert!(!modifiers.key(54, true));
        assert!(modifiers.key(29, true));
        assert_eq!(modifiers.depressed(), SHIFT | CONTROL);
        assert!(!modifiers.key(42, false));
        assert!(modifiers.key(54, false));
        assert_eq!(modifiers.depressed(), CONTROL);
        assert!(modifiers.makes_shortcuts());
        assert!(modifiers.key(29, false) && modifiers.key(54, true));
        assert!(!modifiers.makes_shortcuts());
    }

    #[test]
    fn locks_stay_until_they_are_pressed_again() {
        let mut modifiers = Modifiers::new(true);
        assert!(modifiers.key(58, true));
        assert!(!modifiers.key(58, false));
        assert_eq!((modifiers.depressed(), modifiers.locked()), (0, LOCK));
        modifiers.key(69, true);
        modifiers.key(58, true);
        assert_eq!(modifiers.locked(), MOD2);
        modifiers.key(100, true);
        assert_eq!(modifiers.depressed(), MOD5);
    }
}
