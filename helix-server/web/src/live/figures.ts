/** Figures that the control plane measures and pushes, for as long as somebody looks at them. */
import { failureOf } from '../api/bounded';
import { ApiFailure } from '../api/failure';
import { Backoff } from './backoff';

/** What is known of them. */
export interface Figures<T> {
  /** The newest; absent before the first, and while nothing can be measured. */
  now?: T;
  /** Why there are none. It is tried again meanwhile. */
  error?: unknown;
}

/** What a stream of figures needs of its surroundings. */
export interface FiguresOptions<T> {
  url: string;
  onChange: (figures: Figures<T>) => void;
  fetch?: typeof fetch;
  backoff?: Backoff;
}

/** Nothing came for so long: the connection is dead. (The server shows a sign of life sooner.) */
const SILENT_MS = 45_000;

/**
 * A stream of figures (server-sent events). It is read while it is shown, and not otherwise; one
 * that ends is opened again, later and later until figures come.
 */
export class FiguresStream<T> {
  readonly #options: FiguresOptions<T>;
  readonly #backoff: Backoff;
  #abort: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: FiguresOptions<T>) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff({ maxMs: 15_000 });
  }

  /** Somebody looks, or nobody does any more. */
  show(shown: boolean): void {
    if (shown) {
      if (!this.#abort && this.#timer === undefined) void this.#read();
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#abort?.abort();
    this.#abort = undefined;
  }

  async #read(): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    let error: unknown;
    try {
      await this.#follow(abort);
    } catch (thrown) {
      error = thrown instanceof ApiFailure ? thrown : ApiFailure.unreachable(thrown);
    }
    if (this.#abort !== abort) return;
    this.#abort = undefined;
    if (error !== undefined) this.#options.onChange({ error });
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#read();
    }, this.#backoff.next());
  }

  async #follow(abort: AbortController): Promise<void> {
    const { url, fetch: ask = fetch } = this.#options;
    let silence = setTimeout(() => {
      abort.abort();
    }, SILENT_MS);
    try {
      const answer = await ask(url, { signal: abort.signal, credentials: 'same-origin' });
      if (!answer.ok || !answer.body) {
        throw await failureOf(answer);
      }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        clearTimeout(silence);
        silence = setTimeout(() => {
          abort.abort();
        }, SILENT_MS);
        const events = (text + part.value).split('\n\n');
        text = events.pop() ?? '';
        events.forEach((event) => {
          this.#heard(event);
        });
      }
    } finally {
      clearTimeout(silence);
    }
  }

  #heard(event: string): void {
    const { kind, data } = parseEvent(event);
    if (data === '') return;
    if (kind === 'error') throw ApiFailure.fromBody(502, { error: JSON.parse(data) as unknown });
    this.#backoff.proven();
    this.#options.onChange({ now: JSON.parse(data) as T });
  }
}

/** One event of a stream: what kind it is of, and what it carries. */
export function parseEvent(event: string): { kind: string; data: string } {
  const value = (name: string) =>
    event
      .split('\n')
      .filter((line) => line.startsWith(`${name}:`))
      .map((line) => line.slice(name.length + 1).replace(/^ /, ''))
      .join('\n');
  return { kind: value('event') || 'message', data: value('data') };
}
