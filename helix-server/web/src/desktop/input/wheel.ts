/** What is used of a `WheelEvent`. */
export interface Turn {
  deltaX: number;
  deltaY: number;
  /** 0 pixels, 1 lines, 2 pages. */
  deltaMode: number;
  /** Not in the standard, but in every browser; -120 is a notch. */
  wheelDeltaX?: number;
  wheelDeltaY?: number;
}

const NOTCH = 120;
/** A notch is 100 pixels, three lines or a page: by these, a delta becomes 120ths of a notch. */
const PER_UNIT = [NOTCH / 100, NOTCH / 3, NOTCH];
/** More at once is an error of the browser, or of a page that makes its own events. */
const MOST = 100 * NOTCH;

/** Turns of a wheel in 120ths of a notch. What is less than one of them is kept for the next. */
export class Wheel {
  #restX = 0;
  #restY = 0;

  /** `null` while there is less than the smallest step. */
  turned(turn: Turn): { dx: number; dy: number } | null {
    this.#restX = tidy(this.#restX + steps(turn.deltaX, turn.wheelDeltaX, turn.deltaMode));
    this.#restY = tidy(this.#restY + steps(turn.deltaY, turn.wheelDeltaY, turn.deltaMode));
    const dx = Math.trunc(this.#restX);
    const dy = Math.trunc(this.#restY);
    this.#restX -= dx;
    this.#restY -= dy;
    // No zero with a sign.
    return dx === 0 && dy === 0 ? null : { dx: dx || 0, dy: dy || 0 };
  }
}

/** Without what is left of a sum of fractions that is a whole. */
const tidy = (sum: number): number => Math.round(sum * 1e6) / 1e6;

function steps(delta: number, legacy: number | undefined, mode: number): number {
  // Whole notches, however many pixels the browser makes of one.
  const exact = legacy !== undefined && legacy !== 0 && legacy % NOTCH === 0;
  const value = exact ? -legacy : delta * (PER_UNIT[mode] ?? 0);
  return Number.isFinite(value) ? Math.min(MOST, Math.max(-MOST, value)) : 0;
}
