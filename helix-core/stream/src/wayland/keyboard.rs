//! The keymap of a virtual keyboard: a usual layout, and a few places for whatever is not on
//! it. Pure.
//!
//! A keysym without a place gets one of [`SPARE`] keys that no keyboard has, the one that was
//! used longest ago; the compositor is given the keymap anew then.

use std::fmt::Write as _;

/// The evdev numbers of keys that are given to keysyms: none of a usual keyboard.
const FIRST: u16 = 230;
const SPARE: usize = 16;
/// The last key that an XKB keymap has room for.
const LAST: u16 = 247;
/// The keys of the layout `us` that give characters, from the first of each row on: what they
/// give, alone and with Shift.
const ROWS: [(u16, &str, &str); 4] = [
    (2, "1234567890-=", "!@#$%^&*()_+"),
    (16, "qwertyuiop[]", "QWERTYUIOP{}"),
    (30, "asdfghjkl;'`", "ASDFGHJKL:\"~"),
    (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
];
/// The last keysym that there is.
const LAST_KEYSYM: u32 = 0x1fff_ffff;

/// A keymap, and which keysyms have a place of their own in it.
#[derive(Debug)]
pub(super) struct Keymap {
    layout: String,
    /// By place: the keysym, and when it was used last.
    spare: [(u32, u64); SPARE],
    time: u64,
}

/// Where a keysym is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The evdev number of its key.
    pub(super) code: u16,
    /// Whether the compositor has to be given the keymap anew before.
    pub(super) is_new: bool,
}

impl Keymap {
    /// Of a layout of XKB, such as `us` or `de(nodeadkeys)`; none for what is no name.
    pub(super) fn new(layout: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-()".contains(&byte);
        let named = !layout.is_empty() && layout.len() <= 40 && layout.bytes().all(fits);
        named.then(|| Self {
            layout: layout.to_owned(),
            spare: [(0, 0); SPARE],
            time: 0,
        })
    }

    /// The key that gives this character on the layout itself, and whether with Shift: only of
    /// the layout `us`, whose keys are known here.
    pub(super) fn stroke(&self, keysym: u32) -> Option<(u16, bool)> {
        if self.layout != "us" {
            return None;
        }
        let character = char::from_u32(keysym).filter(char::is_ascii_graphic)?;
        let in_row = |(first, alone, shifted): &(u16, &str, &str)| {
            let at = |row: &str| row.chars().position(|one| one == character);
            let (at, shift) = at(alone)
                .map(|at| (at, false))
                .or_else(|| at(shifted).map(|at| (at, true)))?;
            // At most 11 more.
            Some((first + at as u16, shift))
        };
        ROWS.iter().find_map(in_row)
    }

    /// Whether there is such a key at all.
    pub(super) const fn has(code: u16) -> bool {
        code > 0 && code <= LAST
    }

    /// In XKB's own format, version 1.
    pub(super) fn text(&self) -> String {
        let mut spare = String::new();
        for (at, (keysym, _)) in self.spare.iter().enumerate() {
            if *keysym != 0 {
                // A string takes everything.
                let _ = writeln!(
                    spare,
                    "key <I{}> {{ [ {keysym:#x} ] }};",
                    usize::from(FIRST) + 8 + at
                );
            }
        }
        format!(
            "xkb_keymap {{\n\
             xkb_keycodes {{ include \"evdev+aliases(qwerty)\" }};\n\
             xkb_types {{ include \"complete\" }};\n\
             xkb_compat {{ include \"complete\" }};\n\
             xkb_symbols {{ include \"pc+{}+inet(evdev)\"\n{spare}}};\n\
             }};\n",
            self.layout
        )
    }

    /// The key of a keysym; `held` are keys that are down and stay what they are. None where
    /// there is no such keysym, or every spare place is held.
    pub(super) fn place(&mut self, keysym: u32, held: &[u16]) -> Option<Place> {
        if keysym == 0 || keysym > LAST_KEYSYM {
            return None;
        }
        if let Some(code) = usual(keysym) {
            return Some(Place {
                code,
                is_new: false,
            });
        }
        self.time += 1;
        let known = self.spare.iter().position(|(known, _)| *known == keysym);
        let is_free = |at: &usize| !held.contains(&code(*at));
        let at = known.or_else(|| {
            (0..SPARE)
                .filter(is_free)
                .min_by_key(|at| self.spare[*at].1)
        })?;
        self.spare[at] = (keysym, self.time);
        Some(Place {
            code: code(at),
            is_new: known.is_none(),
        })
    }
}

/// At most 245.
const fn code(at: usize) -> u16 {
    FIRST + at as u16
}

/// Keys that are at the same place on every layout, and modifiers, which have to be.
const fn usual(keysym: u32) -> Option<u16> {
    Some(match keysym {
        0x20 => 57,
        0xff08 => 14,
        0xff09 => 15,
        0xff0d => 28,
        0xff13 => 119,
        0xff14 => 70,
        0xff1b => 1,
        0xff50 => 102,
        0xff51 => 105,
        0xff52 => 103,
        0xff53 => 106,
        0xff54 => 108,
        0xff55 => 104,
        0xff56 => 109,
        0xff57 => 107,
        0xff61 => 99,
        0xff63 => 110,
        0xff67 => 127,
        0xff7f => 69,
        0xff8d => 96,
        // At most 10 more, and 2.
        0xffbe..=0xffc7 => 59 + (keysym - 0xffbe) as u16,
        0xffc8 | 0xffc9 => 87 + (keysym - 0xffc8) as u16,
        0xffe1 => 42,
        0xffe2 => 54,
        0xffe3 => 29,
        0xffe4 => 97,
        0xffe5 => 58,
        0xffe7 | 0xffe9 => 56,
        0xffe8 | 0xffea | 0xfe03 => 100,
        0xffeb => 125,
        0xffec => 126,
        0xffff => 111,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keysym;

    #[test]
    fn a_keysym_keeps_its_place_and_the_oldest_gives_way() {
        let mut keymap = Keymap::new("us").unwrap();
        let mut place = |keysym, held: &[u16]| keymap.place(keysym, held).unwrap();
        let first = place(0x41, &[]);
        assert_eq!(
            first,
            Place {
                code: FIRST,
                is_new: true
            }
        );
        assert_eq!(
            place(0x41, &[]),
            Place {
                is_new: false,
                ..first
            }
        );
        for keysym in 0x42..=0x50 {
            assert!(place(keysym, &[]).is_new);
        }
        place(0x41, &[]);
        // The second is the oldest, but is held.
        assert_eq!(place(0x60, &[FIRST + 1]).code, FIRST + 2);
        assert_eq!(place(0x61, &[]).code, FIRST + 1);
        let all: Vec<_> = (FIRST..=LAST).collect();
        assert_eq!(keymap.place(0x62, &all), None);
    }

    #[test]
    fn keys_that_every_layout_has_need_no_place() {
        let mut keymap = Keymap::new("de(nodeadkeys)").unwrap();
        for (keysym, code) in [(0xff0d, 28), (0xffe3, 29), (0xffc7, 68), (0xffc9, 88)] {
            assert_eq!(
                keymap.place(keysym, &[]),
                Some(Place {
                    code,
                    is_new: false
                })
            );
        }
        assert!(!keymap.text().contains("0x"));
    }

    #[test]
    fn the_characters_of_a_us_keyboard_are_typed_with_its_own_keys() {
        let keymap = Keymap::new("us").unwrap();
        for (character, key) in [
            ('a', (30, false)),
            ('Q', (16, true)),
            ('_', (12, true)),
            ('\\', (43, false)),
            ('~', (41, true)),
            ('?', (53, true)),
        ] {
            assert_eq!(
                keymap.stroke(keysym::of(character)),
                Some(key),
                "{character}"
            );
        }
        for character in '!'..='~' {
            assert!(
                keymap.stroke(keysym::of(character)).is_some(),
                "{character}"
            );
        }
        assert_eq!(keymap.stroke(keysym::of('é')), None);
        assert_eq!(keymap.stroke(0xff0d), None);
        assert_eq!(Keymap::new("de").unwrap().stroke(keysym::of('a')), None);
    }

    #[test]
    fn what_is_no_keysym_and_no_layout_is_refused() {
        let mut keymap = Keymap::new("us").unwrap();
        assert_eq!(keymap.place(0, &[]), None);
        assert_eq!(keymap.place(0x2000_0000, &[]), None);
        for layout in ["", "us\"", "us+de", &"x".repeat(41)] {
            assert!(Keymap::new(layout).is_none(), "{layout}");
        }
        assert!(!Keymap::has(0) && !Keymap::has(248) && Keymap::has(30));
    }
}
