/** So many pictures are told of at once: what comes back from sixty a second is thirty messages. */
const TOGETHER = 2;

/** After the last message, this is the longest that a picture waits for the next. */
export const WITHIN_MS = 36;

/**
 * Tells the other end which picture is on the screen, by which all before it are, too. One that
 * comes by itself is told of at once; of those that follow each other closely, every second.
 */
export class Acks {
  readonly #tell: (sequence: number) => void;
  #told = -Infinity;
  #untold = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(tell: (sequence: number) => void) {
    this.#tell = tell;
  }

  painted(sequence: number, now: number): void {
    clearTimeout(this.#timer);
    this.#untold += 1;
    const left = this.#told + WITHIN_MS - now;
    if (this.#untold >= TOGETHER || left <= 0) {
      this.#now(sequence, now);
      return;
    }
    this.#timer = setTimeout(() => {
      this.#now(sequence, now + left);
    }, left);
  }

  /** What was not told of is not to be any more: the connection is another. */
  forget(): void {
    clearTimeout(this.#timer);
    this.#untold = 0;
    this.#told = -Infinity;
  }

  #now(sequence: number, now: number): void {
    this.#told = now;
    this.#untold = 0;
    this.#tell(sequence);
  }
}
