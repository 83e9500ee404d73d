import { beforeEach, describe, expect, it, vi } from 'vitest';

import { DesktopConnection, type ConnectionState, type DesktopSocket } from './connection';

class FakeSocket implements DesktopSocket {
  binaryType: BinaryType = 'blob';
  onopen: DesktopSocket['onopen'] = null;
  onmessage: DesktopSocket['onmessage'] = null;
  onclose: DesktopSocket['onclose'] = null;
  sent: string[] = [];
  closed: [code?: number, reason?: string] | undefined;

  send(data: Uint8Array): void {
    this.sent.push([...data].map((byte) => byte.toString(16).padStart(2, '0')).join(''));
  }

  close(...why: [code?: number, reason?: string]): void {
    this.closed = why;
  }

  opens(): void {
    this.onopen?.(new Event('open'));
  }

  says(hex: string): void {
    const pairs = hex.replaceAll(' ', '').match(/../g) ?? [];
    const data = Uint8Array.from(pairs, (pair) => parseInt(pair, 16)).buffer;
    this.onmessage?.(new MessageEvent('message', { data }));
  }

  breaks(code = 1006, reason = ''): void {
    this.onclose?.(new CloseEvent('close', { code, reason }));
  }

  kinds(): string[] {
    return this.sent.map((message) => message.slice(0, 2));
  }
}

const HELLO = '01 0001 00000007 01 00 00 0500 02d0 04';
const POINTER = '05 0000 0000';

let sockets: FakeSocket[];
let states: ConnectionState[];
let messages: string[];
let pongs: [number, number, number][];
let refused: number;
let why: () => Promise<string | undefined>;

function open(): DesktopConnection {
  const connection = new DesktopConnection({
    connect: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    hello: () => ({
      kind: 'hello',
      looksOn: false,
      patches: false,
      width: 1,
      height: 1,
      codecs: ['h264'],
      name: '',
    }),
    onMessage: (message) => messages.push(message.kind),
    onPong: (...pong) => pongs.push(pong),
    onState: (state) => states.push(state),
    onRefused: () => {
      refused += 1;
    },
    whyRefused: () => why(),
    clock: () => Date.now() - START,
  });
  connection.wake();
  return connection;
}

const START = new Date('2026-01-01').getTime();

const newest = (): FakeSocket => {
  const socket = sockets.at(-1);
  if (!socket) throw new Error('nothing was opened');
  return socket;
};

const goLive = () => {
  newest().opens();
  newest().says(HELLO);
};

const state = () => states.at(-1)?.kind;

beforeEach(() => {
  vi.useFakeTimers({ now: START });
  sockets = [];
  states = [];
  messages = [];
  pongs = [];
  refused = 0;
  why = () => Promise.resolve(undefined);
});

describe('a connection to a desktop', () => {
  it('says hello, is live when it was greeted, and asks for the time', () => {
    open();
    expect(state()).toBe('connecting');
    newest().opens();
    expect(newest().sent).toEqual(['810001000001000101' + '0100']);
    newest().says(HELLO);
    expect(state()).toBe('live');
    expect(newest().kinds()).toEqual(['81', '92']);
    newest().says('09 0000000000000bb8 0000000000000005');
    expect(pongs).toEqual([[3, 0, 5]]);
  });

  it('comes again after a break, and later each time until something was painted', () => {
    const connection = open();
    const waits: number[] = [];
    const breakNow = () => {
      goLive();
      newest().breaks();
      const last = states.at(-1);
      if (last?.kind !== 'waiting') throw new Error('it does not wait');
      waits.push(last.until - Date.now());
      vi.advanceTimersByTime(waits.at(-1) ?? 0);
    };
    for (let round = 0; round < 4; round += 1) breakNow();
    expect(waits[3]).toBeGreaterThan((waits[0] ?? 0) * 2);
    goLive();
    connection.proven();
    newest().breaks();
    const last = states.at(-1);
    expect(last?.kind === 'waiting' && last.until - Date.now()).toBeLessThanOrEqual(1_000);
  });

  it('does not wait when it is woken', () => {
    const connection = open();
    newest().breaks();
    connection.wake();
    expect(sockets).toHaveLength(2);
    expect(state()).toBe('connecting');
  });

  it('tells a refusal from a break', () => {
    open();
    newest().breaks();
    expect(refused).toBe(1);
    vi.advanceTimersByTime(1_000);
    goLive();
    newest().breaks();
    expect(refused).toBe(1);
  });

  it('says why it was refused, once it is known', async () => {
    const connection = open();
    let tell: (reason: string) => void = () => undefined;
    why = () => new Promise((told) => (tell = told));
    newest().breaks();
    expect(states.at(-1)).not.toHaveProperty('reason');
    const before = states.at(-1);
    tell('There is no sway.');
    await vi.advanceTimersByTimeAsync(0);
    expect(states.at(-1)).toEqual({ ...before, reason: 'There is no sway.' });
    connection.wake();
    newest().breaks();
    connection.wake();
    tell('Too late.');
    await vi.advanceTimersByTimeAsync(0);
    expect(states.at(-1)).toEqual({ kind: 'connecting' });
  });

  it.each([
    [1001, 'the desktop ends'],
    [1008, 'no sign of life for 30 s'],
    [1009, 'a message beyond 16 MiB'],
    [1011, 'the sandbox was lost: it stopped'],
    [1012, 'restarting'],
    [1013, '128 viewers are there already'],
  ])('comes again after a close with %i, and says why it waits', (code, reason) => {
    open();
    goLive();
    newest().breaks(code, reason);
    expect(states.at(-1)).toMatchObject({ kind: 'waiting', reason });
    vi.advanceTimersByTime(1_000);
    expect(sockets).toHaveLength(2);
  });

  it('gives up an attempt that nobody greets', () => {
    open();
    newest().opens();
    vi.advanceTimersByTime(15_000);
    expect(newest().closed).toBeDefined();
    expect(state()).toBe('waiting');
  });

  it('takes an end that is silent for gone, but not one that answers', () => {
    open();
    goLive();
    for (let round = 0; round < 20; round += 1) {
      vi.advanceTimersByTime(2_000);
      newest().says('09 0000000000000000 0000000000000000');
    }
    expect(state()).toBe('live');
    vi.advanceTimersByTime(12_000);
    expect(states.map(({ kind }) => kind)).toEqual(['connecting', 'live', 'waiting']);
  });

  it('sends nothing that was meant for a connection that broke', () => {
    const connection = open();
    connection.send({ kind: 'release' });
    goLive();
    connection.send({ kind: 'keyframe' });
    expect(newest().kinds()).toEqual(['81', '92', '8e']);
  });
});

describe('a page that nobody looks at', () => {
  it('says so, and says when somebody does again', () => {
    const connection = open();
    goLive();
    connection.look(false);
    connection.look(false);
    connection.look(true);
    expect(newest().sent.slice(2)).toEqual(['8d00', '8d01']);
  });

  it('says so to a new connection, too', () => {
    const connection = open();
    connection.look(false);
    goLive();
    expect(newest().kinds()).toEqual(['81', '8d', '92']);
  });

  it('does not come again until somebody looks', () => {
    const connection = open();
    goLive();
    connection.look(false);
    newest().breaks();
    expect(state()).toBe('paused');
    vi.runAllTimers();
    expect(sockets).toHaveLength(1);
    connection.look(true);
    expect(sockets).toHaveLength(2);
  });
});

describe('what ends for good', () => {
  it.each([
    ['a kind that nobody knows', '7f'],
    ['another version', '01 0002'],
    ['a cut message', '05 00'],
  ])('%s: with the reason, and not tried again', (_, hex) => {
    open();
    goLive();
    newest().says(hex);
    expect(newest().closed?.[0]).toBe(4002);
    expect(states.at(-1)).toMatchObject({ kind: 'closed', reason: expect.any(String) as string });
    vi.runAllTimers();
    expect(sockets).toHaveLength(1);
  });

  it('a first message that is no hello', () => {
    open();
    newest().opens();
    newest().says(POINTER);
    expect(state()).toBe('closed');
    expect(messages).toEqual([]);
  });

  it('the other end that finds the protocol broken', () => {
    open();
    goLive();
    newest().breaks(1002, 'version 9');
    expect(states.at(-1)).toEqual({ kind: 'closed', reason: 'version 9' });
  });

  it('may be tried again by hand', () => {
    const connection = open();
    newest().breaks(4003);
    connection.wake();
    expect(sockets).toHaveLength(2);
  });

  it('a desktop that was left', () => {
    const connection = open();
    goLive();
    connection.close();
    connection.look(false);
    connection.look(true);
    vi.runAllTimers();
    expect(sockets).toHaveLength(1);
    expect(newest().closed?.[0]).toBe(1000);
  });
});

it('with another hello, it comes again soon', () => {
  const connection = open();
  goLive();
  connection.again();
  expect(sockets[0]?.closed?.[0]).toBe(1000);
  expect(sockets).toHaveLength(1);
  vi.advanceTimersByTime(1_000);
  expect(sockets).toHaveLength(2);
  expect(state()).toBe('connecting');
});

it('comes again at once when somebody wants it, unless it was left', () => {
  const connection = open();
  goLive();
  connection.anew();
  expect(sockets[0]?.closed?.[0]).toBe(1000);
  expect(sockets).toHaveLength(2);
  connection.close();
  connection.anew();
  expect(sockets).toHaveLength(2);
});
