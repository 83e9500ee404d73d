/** What a viewer sees of a stream, over the last seconds. */
export interface Figures {
  fps: number;
  /** Of all that comes down. */
  megabits: number;
  /** From capture to paint, in milliseconds; absent before anything was painted. */
  latency: { median: number; p95: number } | null;
  /** In milliseconds. */
  roundTrip: number | null;
  /** Pictures that were skipped for this viewer, or came and were never painted. */
  dropped: number;
  /** Pictures that wait for the decoder. */
  queue: number;
}

const WINDOW_MS = 2_000;

/** Counts, without keeping more than a window of it. All times are milliseconds of one clock. */
export class Meter {
  #painted: { at: number; age: number | null }[] = [];
  #received: { at: number; bytes: number }[] = [];
  #dropped = 0;

  received(at: number, bytes: number): void {
    this.#received.push({ at, bytes });
  }

  painted(at: number, age: number | null): void {
    this.#painted.push({ at, age });
  }

  dropped(pictures: number): void {
    this.#dropped += pictures;
  }

  figures(now: number, roundTrip: number | null, queue: number): Figures {
    const since = now - WINDOW_MS;
    this.#painted = this.#painted.filter(({ at }) => at > since);
    this.#received = this.#received.filter(({ at }) => at > since);
    const bytes = this.#received.reduce((sum, each) => sum + each.bytes, 0);
    return {
      fps: this.#painted.length / (WINDOW_MS / 1_000),
      megabits: (bytes * 8) / 1_000 / WINDOW_MS,
      latency: spread(this.#painted.map(({ age }) => age)),
      roundTrip,
      dropped: this.#dropped,
      queue,
    };
  }
}

function spread(ages: (number | null)[]): Figures['latency'] {
  const known = ages.filter((age) => age !== null).sort((one, other) => one - other);
  const at = (share: number) => known[Math.ceil(share * known.length) - 1];
  const median = at(0.5);
  const p95 = at(0.95);
  return median === undefined || p95 === undefined ? null : { median, p95 };
}
