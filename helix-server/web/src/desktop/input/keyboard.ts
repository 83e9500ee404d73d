import type { Up } from '../wire';
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
  /** Whether it is one of Apple's, which keeps some releases to itself. */
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
 * Keys as they go down and up, told by their place. Each that went down goes up, whatever the
 * browser keeps to itself; the desktop repeats what is held by itself.
 */
export class Keyboard {
  readonly #say: (message: Up) => void;
  readonly #apple: boolean;
  readonly #onLatched: (codes: readonly string[]) => void;
  readonly #held = new Map<string, Key & { since: number }>();
  #latched: readonly string[] = [];

  constructor({ say, apple = false, onLatched = () => undefined }: Options) {
    this.#say = say;
    this.#apple = apple;
    this.#onLatched = onLatched;
  }

  down(press: KeyPress): void {
    const key = keyOf(press);
    const id = idOf(press);
    if (!key || press.repeat === true || this.#held.has(id)) return;
    if (this.#apple && press.code === 'CapsLock') {
      this.#tap(key);
      return;
    }
    const since = press.timeStamp ?? 0;
    if (press.code === 'AltRight' && press.key === 'AltGraph') this.#undoControl(since);
    this.#held.set(id, { ...key, since });
    this.#say({ kind: 'key', ...key, down: true });
    if (!isModifier(press.code)) this.#unlatch();
  }

  up(press: KeyPress): void {
    const key = keyOf(press);
    if (this.#apple && press.code === 'CapsLock' && key) {
      // It goes down when it is switched on, and up when it is switched off.
      this.#tap(key);
      return;
    }
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
    const keysym = keysymOf(char);
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

/** By its place, or, where it has none, by its meaning. */
function keyOf({ code, key }: KeyPress): Key | undefined {
  const place = evdevOf(code);
  if (place !== 0) return { code: place, keysym: 0 };
  const keysym = keysymOf(key);
  return keysym === 0 ? undefined : { code: 0, keysym };
}

const idOf = ({ code, key }: KeyPress): string => (code === '' ? `key ${key}` : code);

const isModifier = (code: string): boolean => /^(Shift|Control|Alt|Meta)(Left|Right)$/.test(code);
