/** How long to wait between attempts to connect. */
export interface BackoffOptions {
  /** The longest first wait. */
  firstMs: number;
  /** The longest wait of all. */
  maxMs: number;
  /** 0 to 1, evenly spread. */
  random: () => number;
}

/**
 * Exponential backoff with jitter. A wait is between half and all of a bound that doubles with
 * each attempt, so that many browsers do not come back at once. Only {@link Backoff.proven} sets
 * it back: a socket that merely opens has proven nothing.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  #attempts = 0;

  constructor(options: Partial<BackoffOptions> = {}) {
    this.#options = { firstMs: 1_000, maxMs: 15_000, random: Math.random, ...options };
  }

  /** The wait before the next attempt. */
  next(): number {
    const { firstMs, maxMs, random } = this.#options;
    const bound = Math.min(maxMs, firstMs * 2 ** this.#attempts);
    this.#attempts = Math.min(this.#attempts + 1, 30);
    return Math.round(bound / 2 + (bound / 2) * random());
  }

  /** The connection has done something useful. */
  proven(): void {
    this.#attempts = 0;
  }
}
