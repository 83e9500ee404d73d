/**
 * The characters of each place on a US keyboard, plain and with Shift: what a desktop makes of a
 * key that is told by its place.
 */
const ROWS: [codes: string, plain: string, shifted: string][] = [
  [
    'Backquote Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal',
    '`1234567890-=',
    '~!@#$%^&*()_+',
  ],
  [
    'KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Backslash',
    'qwertyuiop[]\\',
    'QWERTYUIOP{}|',
  ],
  ['KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote', "asdfghjkl;'", 'ASDFGHJKL:"'],
  [
    'IntlBackslash KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash',
    '<zxcvbnm,./',
    '>ZXCVBNM<>?',
  ],
  ['Space', ' ', ' '],
  ['NumpadDivide NumpadMultiply NumpadSubtract NumpadAdd', '/*-+', '/*-+'],
];

const PLAIN = new Map<string, string>();
const SHIFTED = new Map<string, string>();
for (const [codes, plain, shifted] of ROWS) {
  for (const [at, code] of codes.split(' ').entries()) {
    PLAIN.set(code, plain.charAt(at));
    SHIFTED.set(code, shifted.charAt(at));
  }
}

/** What the key in this place types on a desktop; nothing where it types none. */
export const characterOf = (code: string, shift: boolean): string | undefined =>
  (shift ? SHIFTED : PLAIN).get(code);

/** Whether what a key means is one character, and not the name of a key. */
export const isCharacter = (key: string): boolean => Array.from(key).length === 1;

export const isAscii = (key: string): boolean => /^[ -~]$/.test(key);
