import { FULL, type Up } from '../wire';

type Point = { x: number; y: number };

/** `MouseEvent.buttons`' bits, and the numbers by which buttons are told. */
const BUTTONS: [bit: number, button: number][] = [
  [1, 0],
  [4, 1],
  [2, 2],
  [8, 3],
  [16, 4],
];

/** What 16 bits with a sign hold. */
const FARTHEST = 32_767;

/** A mouse: where it points, and which of its buttons are held. */
export class Mouse {
  readonly #say: (message: Up) => void;
  #held = 0;
  #at: Point | undefined;
  #restX = 0;
  #restY = 0;

  constructor(say: (message: Up) => void) {
    this.#say = say;
  }

  /** Whether any button is held. */
  get pressed(): boolean {
    return this.#held !== 0;
  }

  /** It points at a place of the picture, with these buttons held. */
  at(point: Point, buttons: number): void {
    if (point.x !== this.#at?.x || point.y !== this.#at.y) {
      this.#at = point;
      this.#say({ kind: 'move', ...point });
    }
    this.buttons(buttons);
  }

  /** It moved while it is locked. Fractions of a pixel are kept for the next move. */
  by(dx: number, dy: number, buttons: number): void {
    this.#at = undefined;
    this.#restX = bounded(this.#restX + dx);
    this.#restY = bounded(this.#restY + dy);
    const whole = { dx: Math.trunc(this.#restX) || 0, dy: Math.trunc(this.#restY) || 0 };
    this.#restX -= whole.dx;
    this.#restY -= whole.dy;
    if (whole.dx !== 0 || whole.dy !== 0) this.#say({ kind: 'moveBy', ...whole });
    this.buttons(buttons);
  }

  buttons(buttons: number): void {
    const before = this.#held;
    this.#held = buttons;
    for (const [bit, button] of BUTTONS) {
      const down = (buttons & bit) !== 0;
      if (down !== ((before & bit) !== 0)) this.#say({ kind: 'button', button, down });
    }
  }

  /** The other end let go of all buttons, and may point elsewhere. */
  forget(): void {
    this.#held = 0;
    this.#at = undefined;
  }
}

const bounded = (value: number): number => Math.min(FARTHEST, Math.max(-FARTHEST, value));

/** Fingers on a screen, numbered from 0 for as long as each is there. */
export class Fingers {
  readonly #say: (message: Up) => void;
  readonly #known = new Map<number, { finger: number; at: Point }>();

  constructor(say: (message: Up) => void) {
    this.#say = say;
  }

  down(pointer: number, at: Point): void {
    const taken = new Set([...this.#known.values()].map(({ finger }) => finger));
    let finger = 0;
    while (taken.has(finger)) finger += 1;
    if (finger > 255) return;
    this.#known.set(pointer, { finger, at });
    this.#say({ kind: 'touch', phase: 'down', finger, ...at });
  }

  move(pointer: number, at: Point): void {
    const known = this.#known.get(pointer);
    if (!known || (known.at.x === at.x && known.at.y === at.y)) return;
    known.at = at;
    this.#say({ kind: 'touch', phase: 'move', finger: known.finger, ...at });
  }

  up(pointer: number, phase: 'up' | 'cancelled'): void {
    const known = this.#known.get(pointer);
    if (!known) return;
    this.#known.delete(pointer);
    this.#say({ kind: 'touch', phase, finger: known.finger, ...known.at });
  }

  /** They are lifted, whatever they were about to do. */
  cancel(): void {
    for (const pointer of [...this.#known.keys()]) this.up(pointer, 'cancelled');
  }

  /** The other end let go of them. */
  forget(): void {
    this.#known.clear();
  }
}

/** Where a pointer is that was moved by so many of the picture's pixels. */
export function movedBy(from: Point, by: Point, picture: { width: number; height: number }): Point {
  const along = (at: number, pixels: number, length: number) =>
    Math.round(Math.min(FULL, Math.max(0, at + (pixels / length) * FULL)));
  return { x: along(from.x, by.x, picture.width), y: along(from.y, by.y, picture.height) };
}
