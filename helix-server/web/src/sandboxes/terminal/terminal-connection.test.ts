import { beforeEach, describe, expect, it, vi } from 'vitest';

import {
  describeExit,
  TerminalConnection,
  type TerminalSocket,
  type TerminalState,
} from './terminal-connection';

class FakeSocket implements TerminalSocket {
  binaryType: BinaryType = 'blob';
  onopen: TerminalSocket['onopen'] = null;
  onmessage: TerminalSocket['onmessage'] = null;
  onclose: TerminalSocket['onclose'] = null;
  sent: (string | Uint8Array)[] = [];
  closed = false;

  constructor(readonly after: number | undefined) {}

  send(data: string | Uint8Array): void {
    this.sent.push(data);
  }

  close(): void {
    this.closed = true;
  }

  attach(offset: number, seen = 0): void {
    this.onopen?.(new Event('open'));
    this.says({ type: 'attached', offset, seen });
  }

  says(event: object): void {
    this.onmessage?.(new MessageEvent('message', { data: JSON.stringify(event) }));
  }

  puts(bytes: number): void {
    this.onmessage?.(new MessageEvent('message', { data: new ArrayBuffer(bytes) }));
  }

  breaks(): void {
    this.onclose?.(new CloseEvent('close'));
  }
}

let sockets: FakeSocket[];
let states: TerminalState[];
let pending: (() => void)[];
let shownBytes: [length: number, seen: boolean][];
let gaps: number[];
let resets: number;
let refused: number;
let sizes: string[];

function open(): TerminalConnection {
  const connection = new TerminalConnection({
    connect: (after) => {
      const socket = new FakeSocket(after);
      sockets.push(socket);
      return socket;
    },
    show: (bytes, seen, shown) => {
      shownBytes.push([bytes.length, seen]);
      pending.push(shown);
    },
    onGap: (bytes) => gaps.push(bytes),
    onReset: () => {
      resets += 1;
    },
    onResized: (cols, rows) => sizes.push(`${cols}x${rows}`),
    onRefused: () => {
      refused += 1;
    },
    onState: (state) => states.push(state),
  });
  connection.start();
  return connection;
}

const newest = (): FakeSocket => {
  const socket = sockets.at(-1);
  if (!socket) throw new Error('nothing was opened');
  return socket;
};

const showAll = () => {
  for (const shown of pending.splice(0)) shown();
};

beforeEach(() => {
  vi.useFakeTimers();
  sockets = [];
  states = [];
  pending = [];
  shownBytes = [];
  gaps = [];
  resets = 0;
  refused = 0;
  sizes = [];
});

describe('a terminal whose connection breaks', () => {
  it('asks for all that is kept first, then for what follows the last byte', () => {
    open();
    expect(newest().after).toBeUndefined();
    newest().attach(0);
    newest().puts(10);
    newest().breaks();
    expect(states.at(-1)?.kind).toBe('waiting');
    vi.runOnlyPendingTimers();
    expect(newest().after).toBe(10);
    newest().attach(10);
    expect(gaps).toEqual([]);
    expect(states.at(-1)?.kind).toBe('attached');
  });

  it('says what was lost', () => {
    open();
    newest().attach(5);
    newest().puts(10);
    newest().breaks();
    vi.runOnlyPendingTimers();
    newest().attach(40);
    expect(gaps).toEqual([5, 25]);
  });

  it('starts over where the terminal did', () => {
    open();
    newest().attach(0);
    newest().puts(10);
    newest().breaks();
    vi.runOnlyPendingTimers();
    newest().attach(0);
    expect(resets).toBe(1);
  });

  it('is not refused for having been open, and is refused for never opening', () => {
    open();
    newest().attach(0);
    newest().breaks();
    expect(refused).toBe(0);
    vi.runOnlyPendingTimers();
    newest().breaks();
    expect(refused).toBe(1);
  });

  it('gives up an attempt that nobody answers', () => {
    open();
    vi.advanceTimersByTime(15_000);
    expect(newest().closed).toBe(true);
    expect(states.at(-1)?.kind).toBe('waiting');
  });
});

it('what somebody saw before is told from what is new', () => {
  open();
  newest().attach(10, 25);
  newest().puts(10);
  newest().puts(10);
  newest().puts(10);
  expect(shownBytes).toEqual([
    [10, true],
    [5, true],
    [5, false],
    [10, false],
  ]);
});

it('a size is told at once, and again to each new connection', () => {
  const connection = open();
  connection.resize(80, 24);
  expect(newest().sent).toEqual([]);
  newest().attach(0);
  connection.resize(100, 30);
  expect(newest().sent).toEqual([
    '{"type":"resize","cols":80,"rows":24}',
    '{"type":"resize","cols":100,"rows":30}',
  ]);
  newest().says({ type: 'resized', cols: 90, rows: 20 });
  expect(sizes).toEqual(['90x20']);
});

it('what is typed while nothing is connected is not sent later', () => {
  const connection = open();
  connection.type(new Uint8Array([97]));
  newest().attach(0);
  connection.type(new Uint8Array([98]));
  expect(newest().sent).toEqual([new Uint8Array([98])]);
});

it('a flood is hung up on, and taken up again when it was shown', () => {
  open();
  newest().attach(0);
  newest().puts(3 * 1024 * 1024);
  newest().puts(3 * 1024 * 1024);
  expect(newest().closed).toBe(true);
  expect(sockets).toHaveLength(1);
  showAll();
  expect(sockets).toHaveLength(2);
  expect(newest().after).toBe(6 * 1024 * 1024);
});

it('a program that ended is not asked for again', () => {
  open();
  newest().attach(0);
  newest().says({ type: 'exit', code: 3, timed_out: false });
  expect(states.at(-1)).toMatchObject({ kind: 'ended', exit: { code: 3, timed_out: false } });
  vi.runAllTimers();
  expect(sockets).toHaveLength(1);
});

it('a terminal that was left is not asked for again', () => {
  const connection = open();
  newest().attach(0);
  connection.close();
  connection.wake();
  vi.runAllTimers();
  expect(sockets).toHaveLength(1);
  expect(newest().closed).toBe(true);
});

it('what is no event is ignored', () => {
  open();
  newest().onmessage?.(new MessageEvent('message', { data: 'no json' }));
  newest().says({ type: 'something new' });
  newest().attach(0);
  expect(states.at(-1)?.kind).toBe('attached');
});

it('an end is told in words', () => {
  expect(describeExit({ code: 0, timed_out: false })).toBe('Ended');
  expect(describeExit({ code: 2, timed_out: false })).toBe('Ended with status 2');
  expect(describeExit({ signal: 9, timed_out: false })).toBe('Ended by signal 9');
});
