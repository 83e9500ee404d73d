import type { AgentContent } from '../../api/types';
import type { AgentLog, Item, MomentKind, TerminalOutput } from './view';

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type Of<K extends Item['kind']> = Extract<Item, { kind: K }>;
/** Of each kind of item apart. */
type New<T> = T extends unknown ? Omit<T, 'seq' | 'atMs'> : never;

/** The most of a terminal's output that is kept, in UTF-16 units; what is older goes first. */
const MOST_OUTPUT = 256 * 1024;

const NO_OUTPUT: TerminalOutput = { output: '', omitted: 0, ended: null };

/**
 * A log while events are folded into it. What was there is copied before it is first changed,
 * and what was made here is changed in place: a fold costs as much as it has events, and what
 * it began with stays as it was.
 */
export class Draft {
  readonly log: Writable<AgentLog>;
  /** The event that is folded in. */
  seq = 0;
  atMs = 0;
  /** What was made by this fold, and is nobody else's yet. */
  readonly #made = new WeakSet<object>();

  constructor(start: AgentLog) {
    this.log = { ...start };
  }

  /** The list itself where it was made here, a copy otherwise. */
  #own<T>(list: readonly T[]): T[] {
    if (this.#made.has(list)) return list as T[];
    return this.#make([...list]);
  }

  #make<T extends object>(value: T): T {
    this.#made.add(value);
    return value;
  }

  /** Appends to the conversation; answers its place. */
  add(item: New<Item>): number {
    const made = this.#make({ ...item, seq: this.seq, atMs: this.atMs });
    const items = this.#own(this.log.items);
    this.log.items = items;
    return items.push(made) - 1;
  }

  /** The item at `place`, as one that may be changed; undefined if it is of another kind. */
  change<K extends Item['kind']>(place: number | undefined, kind: K): Writable<Of<K>> | undefined {
    if (place === undefined) return undefined;
    const item = this.log.items[place];
    if (item?.kind !== kind) return undefined;
    if (this.#made.has(item)) return item as Writable<Of<K>>;
    const copy = { ...item } as Of<K>;
    this.#made.add(copy);
    const items = this.#own(this.log.items);
    items[place] = copy;
    this.log.items = items;
    return copy;
  }

  /** More of what the agent says or thinks. */
  speak(kind: 'message' | 'thought', content: AgentContent): void {
    const last = this.log.items.length - 1;
    const going = this.change<typeof kind>(last, kind);
    if (!going) {
      const parts = this.#make([this.#make({ ...content })]);
      this.mark(kind, '', this.add({ kind, parts }));
      return;
    }
    const parts = this.#own(going.parts);
    going.parts = parts;
    let end = parts.at(-1);
    if (content.type !== 'text' || end?.type !== 'text') {
      parts.push(this.#make({ ...content }));
      return;
    }
    if (!this.#made.has(end)) {
      end = this.#make({ ...end });
      parts[parts.length - 1] = end;
    }
    end.text += content.text;
  }

  /** A line of the timeline. */
  mark(kind: MomentKind, text: string, item: number | null = null): void {
    const timeline = this.#own(this.log.timeline);
    this.log.timeline = timeline;
    timeline.push({ seq: this.seq, atMs: this.atMs, kind, text, item });
  }

  /** Whether the timeline's last line is this one. */
  lastIs(kind: MomentKind, text: string): boolean {
    const last = this.log.timeline.at(-1);
    return last?.kind === kind && last.text === text;
  }

  /** A terminal, as one that may be changed. */
  terminal(key: string): Writable<TerminalOutput> {
    const known = this.log.terminals.get(key);
    if (known && this.#made.has(known)) return known;
    const copy = this.#make({ ...(known ?? NO_OUTPUT) });
    if (!this.#made.has(this.log.terminals)) {
      this.log.terminals = this.#make(new Map(this.log.terminals));
    }
    (this.log.terminals as Map<string, TerminalOutput>).set(key, copy);
    return copy;
  }

  /** More of a terminal's output. */
  write(key: string, output: string, omitted: number): void {
    const terminal = this.terminal(key);
    if (omitted > 0) {
      terminal.omitted += terminal.output.length + omitted;
      terminal.output = '';
    }
    terminal.output += output;
    // Cut when it is twice as long: not at each event.
    if (terminal.output.length > 2 * MOST_OUTPUT) {
      terminal.omitted += terminal.output.length - MOST_OUTPUT;
      terminal.output = terminal.output.slice(-MOST_OUTPUT);
    }
  }

  /** From now on a call's id means the item at `place`. */
  call(key: string, place: number): void {
    if (!this.#made.has(this.log.calls)) this.log.calls = this.#make(new Map(this.log.calls));
    (this.log.calls as Map<string, number>).set(key, place);
    const open = this.#own(this.log.open);
    this.log.open = open;
    open.push(place);
  }
}
