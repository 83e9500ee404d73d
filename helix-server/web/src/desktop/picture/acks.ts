/** So many pictures are told of at once: what comes back from sixty a second is fifteen messages. */
const TOGETHER = 4;

/** Of more bytes than these none waits: the other end sends by what it was told of. */
export const BYTES = 16 << 10;

/** What comes this soon after another follows it closely: a refresh of a screen, and a half. */
export const FOLLOWS_MS = 25;

/** So long the last of several waits for one that follows it. */
export const WITHIN_MS = 36;

/**
 * Tells the other end which picture is on the screen, by which all before it are, too. One that
 * comes by itself is told of at once; of small ones that follow each other closely, every fourth.
 */
export class Acks {
  readonly #tell: (sequence: number) => void;
  #painted = -Infinity;
  #bytes = 0;
  #untold = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(tell: (sequence: number) => void) {
    this.#tell = tell;
  }

  arrived(bytes: number): void {
    this.#bytes += bytes;
  }

  painted(sequence: number, now: number): void {
    clearTimeout(this.#timer);
    const follows = now - this.#painted <= FOLLOWS_MS;
    this.#painted = now;
    this.#untold += 1;
    if (!follows || this.#untold >= TOGETHER || this.#bytes >= BYTES) this.#now(sequence);
    else
      this.#timer = setTimeout(() => {
        this.#now(sequence);
      }, WITHIN_MS);
  }

  /** What was not told of is not to be any more: the connection is another. */
  forget(): void {
    clearTimeout(this.#timer);
    this.#untold = 0;
    this.#bytes = 0;
    this.#painted = -Infinity;
  }

  #now(sequence: number): void {
    this.#untold = 0;
    this.#bytes = 0;
    this.#tell(sequence);
  }
}
