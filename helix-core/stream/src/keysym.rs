//! X11's numbers for what keys mean.

/// The keysym of a character.
pub(crate) const fn of(character: char) -> u32 {
    match character {
        '\n' | '\r' => 0xff0d,
        '\t' => 0xff09,
        '\u{8}' => 0xff08,
        '\u{1b}' => 0xff1b,
        ' '..='~' | '\u{a0}'..='\u{ff}' => character as u32,
        _ => 0x0100_0000 + character as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn characters_are_keysyms() {
        for (character, expected) in [('a', 0x61), ('ü', 0xfc), ('\n', 0xff0d), ('€', 0x010020ac)]
        {
            assert_eq!(of(character), expected);
        }
    }
}
