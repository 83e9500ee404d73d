import { failureOf } from '../../api/bounded';
import { ApiFailure } from '../../api/failure';
import { insideUrl } from '../../api/inside';
import { Cell } from '../cell';
import { Rounds, type Outcome } from './rounds';

/** What is known of how a desktop looks. */
export interface Thumbnail {
  /** The last picture; absent before the first. */
  url?: string;
  /** Why there is no newer one. */
  failure?: string;
}

interface Kept {
  cell: Cell<Thumbnail>;
  /** Of the last picture; empty before the first. */
  tag: string;
}

/** No answer takes longer. */
const TIMEOUT_MS = 15_000;

/**
 * Small pictures of many desktops, asked for while they are seen and the page is. One that has not
 * changed is answered without being made or sent.
 */
export class Gallery {
  readonly #rounds = new Rounds();
  readonly #kept = new Map<string, Kept>();
  #ended: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Asks, until the returned function is called. */
  begin(): () => void {
    const ended = new AbortController();
    this.#ended = ended;
    const look = () => {
      this.#turn();
    };
    document.addEventListener('visibilitychange', look, { signal: ended.signal });
    look();
    return () => {
      ended.abort();
      this.#ended = undefined;
      clearTimeout(this.#timer);
      for (const { cell } of this.#kept.values()) {
        const { url } = cell.get();
        if (url !== undefined) URL.revokeObjectURL(url);
        cell.set({});
      }
    };
  }

  of(id: string): Cell<Thumbnail> {
    return this.#keep(id).cell;
  }

  see(id: string, seen: boolean): void {
    if (seen) this.#rounds.want(id, performance.now());
    else this.#rounds.unwant(id);
    this.#turn();
  }

  #keep(id: string): Kept {
    let kept = this.#kept.get(id);
    if (!kept) {
      kept = { cell: new Cell<Thumbnail>({}), tag: '' };
      this.#kept.set(id, kept);
    }
    return kept;
  }

  #turn(): void {
    clearTimeout(this.#timer);
    const ended = this.#ended?.signal;
    if (!ended || document.hidden) return;
    for (const id of this.#rounds.start(performance.now())) void this.#ask(id, ended);
    const next = this.#rounds.next();
    if (next === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#turn();
      },
      Math.max(50, next - performance.now()),
    );
  }

  async #ask(id: string, ended: AbortSignal): Promise<void> {
    const kept = this.#keep(id);
    let outcome: Outcome = 'failed';
    try {
      outcome = await this.#fetch(id, kept, ended);
    } catch (error) {
      const known = error instanceof ApiFailure ? error : ApiFailure.unreachable(error);
      if (!ended.aborted) kept.cell.set({ ...kept.cell.get(), failure: known.message });
    }
    this.#rounds.answered(id, outcome, performance.now());
    this.#turn();
  }

  async #fetch(id: string, kept: Kept, ended: AbortSignal): Promise<Outcome> {
    const { url: before, failure } = kept.cell.get();
    const answer = await fetch(insideUrl(id, 'desktop/thumbnail'), {
      credentials: 'same-origin',
      // What is known is said here: the browser's cache would hide that nothing has changed.
      cache: 'no-store',
      headers: before === undefined || !kept.tag ? {} : { 'if-none-match': kept.tag },
      signal: AbortSignal.any([ended, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    if (answer.status === 304) {
      if (failure !== undefined && before !== undefined) kept.cell.set({ url: before });
      return 'same';
    }
    if (!answer.ok) throw await failureOf(answer);
    const jpeg = await answer.blob();
    if (ended.aborted) return 'failed';
    kept.tag = answer.headers.get('etag') ?? '';
    kept.cell.set({ url: URL.createObjectURL(jpeg) });
    if (before !== undefined) URL.revokeObjectURL(before);
    return 'changed';
  }
}
