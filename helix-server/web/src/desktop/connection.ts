import { Backoff } from '../live/backoff';
import {
  decodeDown,
  encodeUp,
  WireError,
  type Down,
  type DownOf,
  type Up,
  type UpOf,
} from './wire';

/** Where the connection to a desktop is. */
export type ConnectionState =
  | { kind: 'connecting' }
  | { kind: 'live' }
  /** Broken; the next attempt is at `until` (milliseconds since the Unix epoch). */
  | { kind: 'waiting'; until: number; reason?: string }
  /** Broken while nobody looks; tries again when somebody does. */
  | { kind: 'paused' }
  /** Not tried again by itself; with the reason, unless it was left. */
  | { kind: 'closed'; reason?: string };

/** The part of a WebSocket that is used. */
export interface DesktopSocket {
  binaryType: BinaryType;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

interface Options {
  connect: () => DesktopSocket;
  /** What is said first, to each new connection. */
  hello: () => UpOf<'hello'>;
  onMessage: (message: Exclude<Down, DownOf<'pong'>>, bytes: number) => void;
  /** The answer to a ping that was sent at `sent` (`clock`'s milliseconds). */
  onPong: (sent: number, received: number, desktopMicros: number) => void;
  onState: (state: ConnectionState) => void;
  /** An attempt was refused before it began: the sandbox may have stopped. */
  onRefused: () => void;
  /** Asks why an attempt was refused, which a socket does not say. */
  whyRefused: () => Promise<string | undefined>;
  /** Milliseconds that only grow. */
  clock?: () => number;
  backoff?: Backoff;
}

/** An attempt that has led to no `Hello` after this long is given up. */
const HELLO_TIMEOUT_MS = 15_000;
/** Also what keeps proxies from cutting a connection that says nothing. */
const PING_MS = 2_000;
/** With no answer for this long, the other end is gone. */
const SILENT_MS = 10_000;

/**
 * Codes of the other end after which to come again is of no use: the protocol was broken, or
 * somebody said not to come back. 1008 is none of them: a machine that slept was silent.
 */
const FINAL_CODES = new Set([1002, 4001, 4002, 4003]);
/**
 * What the protocol calls 1002 and 1009: a browser's `WebSocket.close` takes no code below 3000
 * but 1000.
 */
const BROKEN_CODE = 4002;

/**
 * The connection to a desktop, opened again when it breaks. Only a picture that was painted sets
 * the backoff back, and nothing is tried while the page is hidden.
 */
export class DesktopConnection {
  readonly #options: Options;
  readonly #backoff: Backoff;
  readonly #clock: () => number;
  #socket: DesktopSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pings: ReturnType<typeof setInterval> | undefined;
  #heard = 0;
  #state: ConnectionState = { kind: 'closed' };
  #visible = true;

  constructor(options: Options) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
    this.#clock = options.clock ?? (() => performance.now());
  }

  /** Connects: at first, when it waits, and after it was closed. */
  wake(): void {
    if (this.#state.kind !== 'connecting' && this.#state.kind !== 'live') this.#attempt();
  }

  /** Leaves the desktop; it goes on without anybody looking. */
  close(): void {
    this.#abandon(1000);
    this.#set({ kind: 'closed' });
  }

  /**
   * Leaves and comes again, to say a `Hello` with something else in it. Not at once: another end
   * that answers with what was not offered would be asked without an end.
   */
  again(): void {
    this.#lost(undefined, 1000);
  }

  /** Leaves and comes again at once, since somebody wants it. */
  anew(): void {
    if (this.#state.kind === 'closed') return;
    this.#abandon(1000);
    this.#attempt();
  }

  /** Says something, if somebody listens: input that waited would come as a surprise. */
  send(message: Up): void {
    if (this.#state.kind === 'live') this.#socket?.send(encodeUp(message));
  }

  /** Whether somebody looks at the page. */
  look(visible: boolean): void {
    if (this.#visible === visible) return;
    this.#visible = visible;
    this.send({ kind: 'visible', visible });
    if (visible && this.#state.kind !== 'closed') this.wake();
  }

  /** A picture is on the screen: this connection is of use. */
  proven(): void {
    if (this.#state.kind === 'live') this.#backoff.proven();
  }

  #attempt(): void {
    clearTimeout(this.#timer);
    if (!this.#visible) {
      this.#set({ kind: 'paused' });
      return;
    }
    this.#set({ kind: 'connecting' });
    let opened = false;
    const socket = this.#options.connect();
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#timer = setTimeout(() => {
      this.#lost(`the desktop did not answer within ${HELLO_TIMEOUT_MS / 1_000} s`);
    }, HELLO_TIMEOUT_MS);
    socket.onopen = () => {
      opened = true;
      socket.send(encodeUp(this.#options.hello()));
    };
    socket.onmessage = (event) => {
      this.#received(event.data);
    };
    socket.onclose = (event) => {
      if (FINAL_CODES.has(event.code)) this.#end(event.reason || `closed with ${event.code}`);
      else this.#lost(event.reason || undefined);
      if (opened) return;
      this.#options.onRefused();
      void this.#askWhy();
    };
  }

  async #askWhy(): Promise<void> {
    const state = this.#state;
    const reason = await this.#options.whyRefused();
    // Meanwhile it may be tried again.
    if (reason === undefined || this.#state !== state || state.kind !== 'waiting') return;
    this.#set({ ...state, reason });
  }

  #received(data: unknown): void {
    this.#heard = this.#clock();
    try {
      if (!(data instanceof ArrayBuffer)) throw new WireError('a message that is not binary');
      this.#message(decodeDown(new Uint8Array(data)), data.byteLength);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#end(error.message, BROKEN_CODE);
    }
  }

  #message(message: Down, bytes: number): void {
    if (this.#state.kind === 'connecting') {
      if (message.kind !== 'hello') throw new WireError('the first message was no hello');
      this.#live();
    }
    if (message.kind === 'pong') {
      this.#options.onPong(message.token / 1_000, this.#heard, message.now);
    } else {
      this.#options.onMessage(message, bytes);
    }
  }

  #live(): void {
    clearTimeout(this.#timer);
    this.#set({ kind: 'live' });
    if (!this.#visible) this.send({ kind: 'visible', visible: false });
    this.#ping();
    this.#pings = setInterval(() => {
      if (this.#clock() - this.#heard > SILENT_MS) {
        this.#lost(`the desktop was silent for ${SILENT_MS / 1_000} s`);
      } else {
        this.#ping();
      }
    }, PING_MS);
  }

  /** The token is the time: what the answer needs is in it. */
  #ping(): void {
    this.send({ kind: 'ping', token: Math.round(this.#clock() * 1_000) });
  }

  #lost(reason?: string, code?: number): void {
    this.#abandon(code);
    if (!this.#visible) {
      this.#set({ kind: 'paused' });
      return;
    }
    const wait = this.#backoff.next();
    const until = Date.now() + wait;
    this.#set({ kind: 'waiting', until, ...(reason !== undefined && { reason }) });
    this.#timer = setTimeout(() => {
      this.#attempt();
    }, wait);
  }

  #end(reason: string, code?: number): void {
    this.#abandon(code, reason);
    this.#set({ kind: 'closed', reason });
  }

  /** Lets go of the socket: nothing that it still does is listened to. */
  #abandon(code?: number, reason?: string): void {
    clearTimeout(this.#timer);
    clearInterval(this.#pings);
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = undefined;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    // A reason has at most 123 bytes; ours are ASCII.
    socket.close(code, reason?.slice(0, 120));
  }

  #set(state: ConnectionState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}
