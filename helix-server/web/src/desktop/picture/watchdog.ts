/** With pictures coming and none painted for this long, something is stuck. */
export const STUCK_MS = 3_000;

/**
 * Notices a picture that stands still although new ones come. A browser's decoder can stop
 * without an error, and what it shows then looks like a desktop on which nothing happens.
 */
export class RenderWatchdog {
  /** When the oldest picture came that is not on the screen. */
  #since: number | undefined;
  #rebuilt = 0;

  arrived(now: number): void {
    this.#since ??= now;
  }

  painted(): void {
    this.#since = undefined;
    this.#rebuilt = 0;
  }

  /** Nobody looks, or the connection is a new one: nothing is owed. */
  forgive(): void {
    this.#since = undefined;
  }

  /** Whether to start the decoder anew, now. */
  stuck(now: number): boolean {
    if (this.#since === undefined || now - this.#since < STUCK_MS) return false;
    this.#since = undefined;
    this.#rebuilt += 1;
    return true;
  }

  /** How often in a row the decoder was started anew, to no avail. */
  get rebuilt(): number {
    return this.#rebuilt;
  }
}
