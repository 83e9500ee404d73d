import type { Up } from '../wire';
import { characterOf, isAscii, isCharacter } from './characters';
import { evdevOf } from './evdev';
import { keysymOf } from './keysyms';

/** What is used of a `KeyboardEvent`. */
export interface KeyPress {
  code: string;
  key: string;
  repeat?: boolean;
  timeStamp?: number;
}

interface Options {
  say: (message: Up) => void;
  /** Whether it is one of Apple's: it keeps some releases to itself, and Alt chooses characters. */
  apple?: boolean;
  /** The keys that are held for the next one, by their codes. */
  onLatched?: (codes: readonly string[]) => void;
}

/** So many characters fit into a message, whatever they are. */
const LONGEST_TEXT = 16_000;

type Key = Pick<Extract<Up, { kind: 'key' }>, 'code' | 'keysym'>;

/** Windows says that Ctrl went down with AltGr, at the same time. */
const TOGETHER_MS = 5;

/**
 * Keys as they go down and up, told by their place where that means the same on the desktop's
 * (US) keyboard, so that programs can hold them. What means another character there, by another
 * layout, Caps Lock, or a keyboard without a Shift that is told, is told as that character.
 *
 * Each that went down goes up, whatever the browser keeps to itself; the desktop repeats what is
 * held by itself. Locks stay the browser's own: they are in the characters.
 */
export class Keyboard {
  readonly #say: (message: Up) => void;
  readonly #apple: boolean;
  readonly #onLatched: (codes: readonly string[]) => void;
  readonly #held = new Map<string, Key & { since: number; chooses: boolean }>();
  #latched: readonly string[] = [];

  constructor({ say, apple = false, onLatched = () => undefined }: Options) {
    this.#say = say;
    this.#apple = apple;
    this.#onLatched = onLatched;
  }

  down(press: KeyPress): void {
    const key = this.#meant(press);
    const id = idOf(press);
    if (key === 'text') {
      // The desktop cannot hold a text: the browser repeats it.
      this.#say({ kind: 'text', text: press.key });
      this.#unlatch();
      return;
    }
    if (!key || press.repeat === true || this.#held.has(id)) return;
    const since = press.timeStamp ?? 0;
    const chooses = press.code === 'AltRight' && press.key === 'AltGraph';
    if (chooses) this.#undoControl(since);
    this.#held.set(id, { ...key, since, chooses });
    this.#say({ kind: 'key', ...key, down: true });
    if (!isModifier(press.code)) this.#unlatch();
  }

  up(press: KeyPress): void {
    this.#letGo(idOf(press));
    // While Cmd is held, the releases of other keys are never said.
    if (this.#apple && press.code.startsWith('Meta')) {
      for (const other of [...this.#held.keys()]) if (!isModifier(other)) this.#letGo(other);
    }
  }

  /** What was composed, or came from a keyboard on the screen. */
  typed(text: string): void {
    const [char, ...others] = text;
    if (char === undefined) return;
    const keysym = keysymOf(this.#holds('Shift') ? capitalOf(char) : char);
    // With Ctrl and the like it is a key, not a text.
    if (this.#latched.length > 0 && others.length === 0 && keysym !== 0) {
      this.#tap({ code: 0, keysym });
      this.#unlatch();
    } else {
      const chars = Array.from(text);
      for (let at = 0; at < chars.length; at += LONGEST_TEXT) {
        this.#say({ kind: 'text', text: chars.slice(at, at + LONGEST_TEXT).join('') });
      }
    }
  }

  /** A key that goes down and up. */
  press({ code, key }: KeyPress): void {
    const pressed = keyOf({ code, key });
    if (!pressed) return;
    this.#tap(pressed);
    this.#unlatch();
  }

  /** Holds a key for the next one, or lets go of it again. */
  latch(code: string): void {
    if (this.#latched.includes(code)) {
      this.#letGo(code);
      this.#setLatched(this.#latched.filter((other) => other !== code));
    } else {
      this.down({ code, key: '' });
      this.#setLatched([...this.#latched, code]);
    }
  }

  /** Lets go of all, here and there. */
  release(): void {
    this.forget();
    this.#say({ kind: 'release' });
  }

  /** The other end let go of all by itself. */
  forget(): void {
    this.#held.clear();
    this.#setLatched([]);
  }

  /** How a key is told. */
  #meant(press: KeyPress): Key | 'text' | undefined {
    const { code, key } = press;
    const place = keyOf(press);
    if (!place || place.code === 0 || !isCharacter(key)) return place;
    const shift = this.#holds('Shift');
    if (characterOf(code, shift) === key) return place;
    // Apple's keyboards have characters on Alt, but Alt+F is still wanted more often than ƒ.
    const chosen = this.#held.get('AltRight')?.chooses === true || (this.#apple && isAscii(key));
    const command =
      this.#holds('Control') || this.#holds('Meta') || (this.#holds('Alt') && !chosen);
    if (!command) return 'text';
    return isShortcutElsewhere(press) ? { code: 0, keysym: keysymOf(key) } : place;
  }

  #holds(modifier: 'Shift' | 'Control' | 'Alt' | 'Meta'): boolean {
    return this.#held.has(`${modifier}Left`) || this.#held.has(`${modifier}Right`);
  }

  #tap(key: Key): void {
    this.#say({ kind: 'key', ...key, down: true });
    this.#say({ kind: 'key', ...key, down: false });
  }

  #undoControl(now: number): void {
    const control = this.#held.get('ControlLeft');
    if (control && now - control.since <= TOGETHER_MS) this.#letGo('ControlLeft');
  }

  #letGo(id: string): void {
    const key = this.#held.get(id);
    if (!key) return;
    this.#held.delete(id);
    this.#say({ kind: 'key', code: key.code, keysym: key.keysym, down: false });
  }

  #unlatch(): void {
    for (const code of this.#latched) this.#letGo(code);
    this.#setLatched([]);
  }

  #setLatched(codes: readonly string[]): void {
    if (codes.length === 0 && this.#latched.length === 0) return;
    this.#latched = codes;
    this.#onLatched(codes);
  }
}

/** Whether it is a key that a desktop has; others are the browser's. */
export const isKey = (press: KeyPress): boolean => keyOf(press) !== undefined;

/** The browser's own: dead keys make a character with the next, and locks change what keys mean. */
const OWN = new Set(['Dead', 'CapsLock', 'NumLock']);

/** By its place, or, where it has none, by its meaning. */
function keyOf({ code, key }: KeyPress): Key | undefined {
  if (OWN.has(key) || OWN.has(code)) return undefined;
  const place = evdevOf(code);
  if (place !== 0) return { code: place, keysym: 0 };
  const keysym = keysymOf(key);
  return keysym === 0 ? undefined : { code: 0, keysym };
}

/**
 * With Ctrl and the like held, whether the key is another one on the desktop's keyboard. Digits are
 * meant by their place, and letters that are none of Latin's have no shortcuts.
 */
function isShortcutElsewhere({ code, key }: KeyPress): boolean {
  const there = characterOf(code, false);
  return isAscii(key) && !code.startsWith('Digit') && key.toLowerCase() !== there;
}

/** What Shift makes of a character; some capitals are two, and stay as they are. */
function capitalOf(char: string): string {
  const capital = char.toUpperCase();
  return isCharacter(capital) ? capital : char;
}

const idOf = ({ code, key }: KeyPress): string => (code === '' ? `key ${key}` : code);

const isModifier = (code: string): boolean => /^(Shift|Control|Alt|Meta)(Left|Right)$/.test(code);
