import type { ExecExit, TerminalEvent } from '../../api/types';
import { readJson } from '../../api/inside';
import { Backoff } from '../../live/backoff';

/** Where the connection to a terminal is. */
export type TerminalState =
  | { kind: 'connecting' }
  | { kind: 'attached' }
  /** Broken; the next attempt is at `until` (milliseconds since the Unix epoch). */
  | { kind: 'waiting'; until: number }
  /** Its program ended. */
  | { kind: 'ended'; exit: ExecExit }
  | { kind: 'closed' };

/** The part of a WebSocket that is used. */
export interface TerminalSocket {
  binaryType: BinaryType;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(): void;
}

interface Options {
  /** Opens a socket that begins with byte `after`, or with all that is kept. */
  connect: (after: number | undefined) => TerminalSocket;
  /**
   * Shows bytes, and calls back when they were shown. `seen` says that somebody saw them before:
   * what they ask of a terminal was answered then.
   */
  show: (bytes: Uint8Array, seen: boolean, shown: () => void) => void;
  /** So many bytes are gone for good: what follows begins later. */
  onGap: (bytes: number) => void;
  /** What was shown belongs to another terminal, or to none. */
  onReset: () => void;
  /** Somebody else changed the size. */
  onResized: (cols: number, rows: number) => void;
  /** An attempt was refused before it began: the terminal may be gone. */
  onRefused: () => void;
  onState: (state: TerminalState) => void;
  backoff?: Backoff;
}

/** An attempt that is neither opened nor refused after this long is given up. */
const OPEN_TIMEOUT_MS = 15_000;

/**
 * With more than this on its way to the screen the line is hung up, and taken up again at the
 * same byte when all of it was shown: a flood costs no more memory than this.
 */
const MOST_UNSHOWN = 4 * 1024 * 1024;

/** A terminal that is attached again, where it was, whenever its connection breaks. */
export class TerminalConnection {
  readonly #options: Options;
  readonly #backoff: Backoff;
  #socket: TerminalSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #state: TerminalState = { kind: 'connecting' };
  /** The number of the next byte, once one is known. */
  #next: number | undefined;
  /** Bytes before this one were seen by somebody before this was attached. */
  #seen = 0;
  #unshown = 0;
  #size: { cols: number; rows: number } | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
  }

  start(): void {
    this.#attempt();
  }

  /** Leaves the terminal; it goes on without anybody looking. */
  close(): void {
    clearTimeout(this.#timer);
    this.#abandon();
    this.#set({ kind: 'closed' });
  }

  /** Tries at once, if it waits. */
  wake(): void {
    if (this.#state.kind === 'waiting') this.#attempt();
  }

  /** Types bytes; they are lost while there is no connection. */
  type(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#state.kind === 'attached') this.#socket?.send(bytes);
  }

  resize(cols: number, rows: number): void {
    this.#size = { cols, rows };
    if (this.#state.kind === 'attached') this.#sendSize();
  }

  #attempt(): void {
    clearTimeout(this.#timer);
    this.#set({ kind: 'connecting' });
    let opened = false;
    const socket = this.#options.connect(this.#next);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#timer = setTimeout(() => {
      this.#abandon();
      this.#retry();
    }, OPEN_TIMEOUT_MS);
    socket.onopen = () => {
      opened = true;
    };
    socket.onmessage = (event) => {
      this.#received(event.data);
    };
    socket.onclose = () => {
      this.#abandon();
      this.#retry();
      if (!opened) this.#options.onRefused();
    };
  }

  #received(data: unknown): void {
    if (data instanceof ArrayBuffer) this.#output(new Uint8Array(data));
    else if (typeof data === 'string') this.#event(readJson(data) as TerminalEvent | undefined);
  }

  #event(event: TerminalEvent | undefined): void {
    switch (event?.type) {
      case 'attached':
        clearTimeout(this.#timer);
        this.#seen = event.seen;
        this.#attached(event.offset);
        break;
      case 'resized':
        this.#options.onResized(event.cols, event.rows);
        break;
      case 'exit': {
        this.#abandon();
        this.#set({ kind: 'ended', exit: event });
        break;
      }
      case undefined:
        break;
    }
  }

  #attached(offset: number): void {
    const expected = this.#next;
    if (expected !== undefined && offset > expected) this.#options.onGap(offset - expected);
    if (expected !== undefined && offset < expected) this.#options.onReset();
    if (expected === undefined && offset > 0) this.#options.onGap(offset);
    this.#next = offset;
    this.#backoff.proven();
    this.#set({ kind: 'attached' });
    this.#sendSize();
  }

  #output(bytes: Uint8Array): void {
    const at = this.#next ?? 0;
    const seen = Math.min(Math.max(this.#seen - at, 0), bytes.length);
    this.#next = at + bytes.length;
    this.#unshown += bytes.length;
    const flooded = this.#unshown > MOST_UNSHOWN;
    if (flooded) {
      this.#abandon();
      this.#set({ kind: 'connecting' });
    }
    if (seen > 0) this.#show(bytes.subarray(0, seen), true);
    if (seen < bytes.length) this.#show(bytes.subarray(seen), false);
  }

  #show(bytes: Uint8Array, seen: boolean): void {
    this.#options.show(bytes, seen, () => {
      this.#unshown -= bytes.length;
      const hungUp = this.#state.kind === 'connecting' && this.#socket === undefined;
      if (this.#unshown === 0 && hungUp) this.#attempt();
    });
  }

  #sendSize(): void {
    if (!this.#size) return;
    this.#socket?.send(JSON.stringify({ type: 'resize', ...this.#size }));
  }

  #retry(): void {
    const wait = this.#backoff.next();
    this.#set({ kind: 'waiting', until: Date.now() + wait });
    this.#timer = setTimeout(() => {
      this.#attempt();
    }, wait);
  }

  /** Lets go of the socket: nothing that it still does is listened to. */
  #abandon(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = undefined;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  #set(state: TerminalState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}

/** How a program ended, in words. */
export function describeExit({ code, signal, timed_out }: ExecExit): string {
  if (timed_out) return 'Ended: it ran for too long';
  if (signal != null) return `Ended by signal ${signal}`;
  return code === 0 || code == null ? 'Ended' : `Ended with status ${code}`;
}
