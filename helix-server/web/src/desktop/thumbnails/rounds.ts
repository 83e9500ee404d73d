/** What came of asking for a picture. */
export type Outcome = 'changed' | 'same' | 'failed';

/** So many are asked for at a time: the others wait their turn. */
const AT_A_TIME = 3;
/** A desktop on which something happens is asked for this often. */
export const SOONEST_MS = 2_000;
/** One on which nothing happens, and one that fails, is asked for ever more seldom, up to these. */
const LATEST_MS: Record<Outcome, number> = { changed: SOONEST_MS, same: 10_000, failed: 30_000 };

interface Entry {
  wanted: boolean;
  underWay: boolean;
  due: number;
  wait: number;
}

/**
 * Which of many small pictures to ask for next: those that are seen, the longest due first, few at
 * a time. Pure: it is told the time, in milliseconds that only grow.
 */
export class Rounds {
  readonly #entries = new Map<string, Entry>();

  /** It is seen: its picture is wanted, at once unless it was just asked for. */
  want(id: string, now: number): void {
    const entry = this.#entries.get(id);
    if (!entry) {
      this.#entries.set(id, { wanted: true, underWay: false, due: now, wait: SOONEST_MS });
    } else if (!entry.wanted) {
      entry.wanted = true;
      // What was waited for while nobody saw it need not be waited for now.
      entry.due = Math.max(now, entry.due - entry.wait + SOONEST_MS);
      entry.wait = SOONEST_MS;
    }
  }

  /** It is not seen any more. */
  unwant(id: string): void {
    const entry = this.#entries.get(id);
    if (entry) entry.wanted = false;
  }

  /** What to ask for now; each is under way until it is answered. */
  start(now: number): string[] {
    const underWay = [...this.#entries.values()].filter((entry) => entry.underWay).length;
    const ready = this.#ready()
      .filter(([, { due }]) => due <= now)
      .sort(([, one], [, other]) => one.due - other.due)
      .slice(0, Math.max(0, AT_A_TIME - underWay));
    for (const [, entry] of ready) entry.underWay = true;
    return ready.map(([id]) => id);
  }

  answered(id: string, outcome: Outcome, now: number): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    entry.underWay = false;
    entry.wait =
      outcome === 'changed' ? SOONEST_MS : Math.min(LATEST_MS[outcome], entry.wait * 1.5);
    entry.due = now + entry.wait;
  }

  /** When something is due next; nothing where nothing is wanted. */
  next(): number | undefined {
    const dues = this.#ready().map(([, { due }]) => due);
    return dues.length > 0 ? Math.min(...dues) : undefined;
  }

  #ready(): [string, Entry][] {
    return [...this.#entries].filter(([, { wanted, underWay }]) => wanted && !underWay);
  }
}
