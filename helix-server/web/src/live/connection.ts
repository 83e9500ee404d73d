import type { ClientMessage, ServerMessage } from '../api/types';
import { Backoff } from './backoff';

/** Where the live-update connection is. */
export type LiveState =
  /** `again`: it was there, or could not be made, before. */
  | { kind: 'connecting'; again: boolean }
  | { kind: 'live' }
  /** Closed; the next attempt is at `until` (milliseconds since the Unix epoch). */
  | { kind: 'waiting'; until: number }
  /** Closed while nobody looks at the page; connects again when someone does. */
  | { kind: 'paused' }
  | { kind: 'stopped' };

/** The part of a WebSocket that is used. */
export interface Socket {
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}

/** What the connection needs of its surroundings. */
export interface LiveOptions {
  connect: () => Socket;
  /** Whether the page is hidden. */
  hidden: () => boolean;
  backoff?: Backoff;
  /** Called for each message of the control plane. */
  onMessage: (message: ServerMessage) => void;
  /** Called when a connection replaced one that broke: what happened between is not known. */
  onResumed: () => void;
  /** Called when an attempt failed before the socket opened: the sign-in may have ended. */
  onRefused: () => void;
}

/** Close codes with which the control plane says: do not come back. */
const FINAL_CODES = new Set([4001, 4003]);

/** An attempt that is neither opened nor refused after this long is given up. */
const OPEN_TIMEOUT_MS = 15_000;

/**
 * The one live-update connection of a signed-in user. Reconnects with jittered exponential
 * backoff that only a received message sets back, and never while the page is hidden.
 */
export class LiveConnection {
  readonly #options: LiveOptions;
  readonly #backoff: Backoff;
  readonly #follows = new Map<string, () => number>();
  readonly #watchers = new Set<() => void>();
  #state: LiveState = { kind: 'stopped' };
  #socket: Socket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #everOpened = false;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
  }

  readonly state = (): LiveState => this.#state;

  /** Calls `watcher` after each change of state, until the returned function is called. */
  readonly watch = (watcher: () => void): (() => void) => {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  };

  start(): void {
    if (this.#state.kind === 'stopped') this.#attempt();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#abandon();
    this.#set({ kind: 'stopped' });
  }

  /** The page was shown, the network came back, or the user asked: try at once. */
  wake(): void {
    if (this.#state.kind === 'waiting' || this.#state.kind === 'paused') this.#attempt();
  }

  /** Follows a session; `after` says, at each connect, which event is the last one known. */
  follow(sessionId: string, after: () => number): void {
    this.#follows.set(sessionId, after);
    if (this.#state.kind === 'live') this.#sendFollow(sessionId, after);
  }

  unfollow(sessionId: string): void {
    if (!this.#follows.delete(sessionId)) return;
    if (this.#state.kind === 'live') this.#send({ type: 'unfollow', session_id: sessionId });
  }

  #attempt(): void {
    clearTimeout(this.#timer);
    if (this.#options.hidden()) {
      this.#set({ kind: 'paused' });
      return;
    }
    this.#set({ kind: 'connecting', again: this.#state.kind === 'waiting' });
    let opened = false;
    const socket = this.#options.connect();
    this.#socket = socket;
    this.#timer = setTimeout(() => {
      this.#abandon();
      this.#retry();
    }, OPEN_TIMEOUT_MS);
    socket.onopen = () => {
      opened = true;
      clearTimeout(this.#timer);
      this.#opened();
    };
    socket.onmessage = (event) => {
      this.#received(event.data);
    };
    socket.onclose = (event) => {
      clearTimeout(this.#timer);
      this.#abandon();
      if (FINAL_CODES.has(event.code)) this.#set({ kind: 'stopped' });
      else this.#retry();
      if (!opened || event.code === 4003) this.#options.onRefused();
    };
  }

  #opened(): void {
    this.#set({ kind: 'live' });
    for (const [sessionId, after] of this.#follows) this.#sendFollow(sessionId, after);
    if (this.#everOpened) this.#options.onResumed();
    this.#everOpened = true;
  }

  #received(data: unknown): void {
    if (typeof data !== 'string') return;
    this.#backoff.proven();
    this.#options.onMessage(JSON.parse(data) as ServerMessage);
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
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = undefined;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  #sendFollow(sessionId: string, after: () => number): void {
    this.#send({ type: 'follow', session_id: sessionId, after: after() });
  }

  #send(message: ClientMessage): void {
    this.#socket?.send(JSON.stringify(message));
  }

  #set(state: LiveState): void {
    this.#state = state;
    for (const watcher of this.#watchers) watcher();
  }
}
