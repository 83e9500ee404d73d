//! Keys by their names.

use helix_proto::{desktop::Key, sandbox::desktop::Modifier};
use xkeysym::Keysym;

/// Keys that are pressed together at most.
const MAX_KEYS: usize = 8;

const SHIFT: Keysym = Keysym::Shift_L;

/// Other names that people give to keys, in small letters, and X11's second names.
const ALIASES: &[(&str, Keysym)] = &[
    ("shift", SHIFT),
    ("ctrl", Keysym::Control_L),
    ("control", Keysym::Control_L),
    ("alt", Keysym::Alt_L),
    ("option", Keysym::Alt_L),
    ("altgr", Keysym::ISO_Level3_Shift),
    ("super", Keysym::Super_L),
    ("meta", Keysym::Super_L),
    ("win", Keysym::Super_L),
    ("cmd", Keysym::Super_L),
    ("enter", Keysym::Return),
    ("return", Keysym::Return),
    ("esc", Keysym::Escape),
    ("escape", Keysym::Escape),
    ("tab", Keysym::Tab),
    ("space", Keysym::space),
    ("backspace", Keysym::BackSpace),
    ("delete", Keysym::Delete),
    ("del", Keysym::Delete),
    ("insert", Keysym::Insert),
    ("home", Keysym::Home),
    ("end", Keysym::End),
    ("left", Keysym::Left),
    ("right", Keysym::Right),
    ("up", Keysym::Up),
    ("down", Keysym::Down),
    ("page_up", Keysym::Page_Up),
    ("pageup", Keysym::Page_Up),
    ("page_down", Keysym::Page_Down),
    ("pagedown", Keysym::Page_Down),
];

/// The key of a modifier.
pub(super) fn modifier(modifier: Modifier) -> Option<Key> {
    key(match modifier {
        Modifier::Shift => SHIFT,
        Modifier::Ctrl => Keysym::Control_L,
        Modifier::Alt => Keysym::Alt_L,
        Modifier::Super => Keysym::Super_L,
    })
}

/// The keys of a chord such as `ctrl+shift+t`, in the order in which they are named. A letter
/// beside Shift is the capital one.
pub(super) fn chord(text: &str) -> Result<Vec<Key>, String> {
    let mut symbols = Vec::new();
    for name in names(text) {
        let symbol = symbol(name).ok_or_else(|| {
            let name: String = name.chars().take(40).collect();
            format!("there is no key {name:?}; X11's names are Return, Page_Down, F5, a, eacute")
        })?;
        if symbols.len() == MAX_KEYS {
            return Err(format!("more than {MAX_KEYS} keys at once"));
        }
        if !symbols.contains(&symbol) {
            symbols.push(symbol);
        }
    }
    if symbols.is_empty() {
        return Err("no key is named".to_owned());
    }
    if symbols.contains(&SHIFT) {
        symbols
            .iter_mut()
            .for_each(|symbol| *symbol = capital(*symbol));
    }
    Ok(symbols.into_iter().filter_map(key).collect())
}

/// The parts of a chord; a plus at its end is the key of that name.
fn names(text: &str) -> Vec<&str> {
    let (before, plus) = match text.strip_suffix('+') {
        Some("") => ("", true),
        Some(before) if before.ends_with('+') => (&before[..before.len() - 1], true),
        _ => (text, false),
    };
    let parts = before.split('+').filter(|_| !before.is_empty());
    parts.chain(plus.then_some("plus")).collect()
}

fn symbol(name: &str) -> Option<Keysym> {
    let mut characters = name.chars();
    if let (Some(only), None) = (characters.next(), characters.next()) {
        return (!only.is_control()).then(|| of_character(only));
    }
    let lower = name.to_ascii_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == lower);
    alias.map(|(_, symbol)| *symbol).or_else(|| named(name))
}

/// The one that X11 calls that: those of the first 65,536, and of multimedia keys.
fn named(name: &str) -> Option<Keysym> {
    if name == "NoSymbol" {
        return None;
    }
    let mut all = (0x20..=0xffff)
        .chain(0x1008_fe00..=0x1008_ffff)
        .map(Keysym::new);
    all.find(|symbol| symbol.name().is_some_and(|known| is_called(known, name)))
}

/// The library has the names of C's constants: `XK_Return`, `XF86XK_AudioMute`.
fn is_called(constant: &str, name: &str) -> bool {
    match (constant.strip_prefix("XF86XK_"), name.strip_prefix("XF86")) {
        (Some(constant), Some(name)) => constant == name,
        _ => constant.strip_prefix("XK_") == Some(name),
    }
}

fn of_character(character: char) -> Keysym {
    let code = u32::from(character);
    match code {
        // Latin 1 is itself; all else is Unicode's number.
        0x20..=0x7e | 0xa0..=0xff => Keysym::new(code),
        _ => Keysym::new(0x0100_0000 + code),
    }
}

fn capital(symbol: Keysym) -> Keysym {
    let one = symbol.key_char().filter(|_| !symbol.is_keypad_key());
    let Some(letter) = one.filter(|letter| letter.is_lowercase()) else {
        return symbol;
    };
    let mut capital = letter.to_uppercase();
    match (capital.next(), capital.next()) {
        (Some(only), None) => of_character(only),
        _ => symbol,
    }
}

/// None for the keysym that is none.
const fn key(symbol: Keysym) -> Option<Key> {
    Key::new(0, symbol.raw())
}
