/** How many round trips the best one is chosen from. */
const KEPT = 12;

interface Sample {
  roundTrip: number;
  /** How far the desktop's clock is ahead of this one. */
  ahead: number;
}

/**
 * The desktop's clock, from the answers to pings. Of the newest round trips the shortest is
 * believed: its answer waited the least, and so is wrong by the least, at most by half of it.
 */
export class DesktopClock {
  #samples: Sample[] = [];

  /** All in milliseconds; `desktop` is the other clock's time. */
  heard(sent: number, received: number, desktop: number): void {
    const roundTrip = received - sent;
    if (roundTrip < 0) return;
    this.#samples.push({ roundTrip, ahead: desktop - (sent + roundTrip / 2) });
    if (this.#samples.length > KEPT) this.#samples.shift();
  }

  /** Of the newest answer. */
  roundTrip(): number | null {
    return this.#samples.at(-1)?.roundTrip ?? null;
  }

  /** How old, at `now`, is what was captured at `desktop`. */
  age(desktop: number, now: number): number | null {
    const [first, ...others] = this.#samples;
    if (!first) return null;
    const best = others.reduce(
      (one, other) => (other.roundTrip < one.roundTrip ? other : one),
      first,
    );
    return Math.max(0, now + best.ahead - desktop);
  }

  /** Another desktop's process has another clock. */
  forget(): void {
    this.#samples = [];
  }
}
