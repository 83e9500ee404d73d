import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ServerMessage } from '../api/types';
import { Backoff } from './backoff';
import { LiveConnection, type Socket } from './connection';

class ScriptedSocket implements Socket {
  onopen: Socket['onopen'] = null;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  readonly sent: unknown[] = [];
  closed = false;

  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }
  close(): void {
    this.closed = true;
  }
  open(): void {
    this.onopen?.(new Event('open'));
  }
  say(message: ServerMessage): void {
    this.onmessage?.(new MessageEvent('message', { data: JSON.stringify(message) }));
  }
  end(code = 1006): void {
    this.onclose?.(new CloseEvent('close', { code }));
  }
}

function setUp() {
  const sockets: ScriptedSocket[] = [];
  const page = { hidden: false };
  const heard: ServerMessage[] = [];
  const calls = { resumed: 0, refused: 0 };
  const live = new LiveConnection({
    connect: () => {
      const socket = new ScriptedSocket();
      sockets.push(socket);
      return socket;
    },
    hidden: () => page.hidden,
    backoff: new Backoff({ firstMs: 1_000, maxMs: 8_000, random: () => 1 }),
    onMessage: (message) => heard.push(message),
    onResumed: () => (calls.resumed += 1),
    onRefused: () => (calls.refused += 1),
  });
  const last = () => {
    const socket = sockets.at(-1);
    if (!socket) throw new Error('nothing was connected');
    return socket;
  };
  return { live, sockets, page, heard, calls, last };
}

describe('live connection', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('follows a session from the last event known at the time of each connect', () => {
    const { live, last } = setUp();
    let seq = 3;
    live.follow('ses_1', () => seq);
    live.start();
    last().open();
    expect(last().sent).toEqual([{ type: 'follow', session_id: 'ses_1', after: 3 }]);
    seq = 9;
    last().end();
    vi.advanceTimersByTime(1_000);
    last().open();
    expect(last().sent).toEqual([{ type: 'follow', session_id: 'ses_1', after: 9 }]);
  });

  it('says that it resumed after a break, but not at the first connect', () => {
    const { live, last, calls } = setUp();
    live.start();
    last().open();
    expect(calls.resumed).toBe(0);
    last().end();
    vi.advanceTimersByTime(1_000);
    last().open();
    expect(calls.resumed).toBe(1);
  });

  it('says whether it connects again, so that a break is one from its beginning to its end', () => {
    const { live, last } = setUp();
    live.start();
    expect(live.state()).toEqual({ kind: 'connecting', again: false });
    last().open();
    for (const wait of [1_000, 2_000]) {
      last().end();
      expect(live.state().kind).toBe('waiting');
      vi.advanceTimersByTime(wait);
      expect(live.state()).toEqual({ kind: 'connecting', again: true });
    }
    last().open();
    expect(live.state()).toEqual({ kind: 'live' });
  });

  it('waits longer each time when sockets open but never say anything', () => {
    const { live, last, sockets } = setUp();
    live.start();
    for (const wait of [1_000, 2_000, 4_000]) {
      last().open();
      last().end();
      const before = sockets.length;
      vi.advanceTimersByTime(wait - 1);
      expect(sockets).toHaveLength(before);
      vi.advanceTimersByTime(1);
      expect(sockets).toHaveLength(before + 1);
    }
  });

  it('starts over with short waits once a message was received', () => {
    const { live, last, sockets, heard } = setUp();
    live.start();
    last().end();
    vi.advanceTimersByTime(1_000);
    last().end();
    vi.advanceTimersByTime(2_000);
    last().open();
    last().say({ type: 'models_changed' });
    expect(heard).toEqual([{ type: 'models_changed' }]);
    last().end();
    vi.advanceTimersByTime(1_000);
    expect(sockets).toHaveLength(4);
  });

  it('does not reconnect while the page is hidden, and does at once when it is shown', () => {
    const { live, last, sockets, page } = setUp();
    live.start();
    last().open();
    page.hidden = true;
    last().end();
    vi.advanceTimersByTime(3_600_000);
    expect(sockets).toHaveLength(1);
    expect(live.state()).toEqual({ kind: 'paused' });
    page.hidden = false;
    live.wake();
    expect(sockets).toHaveLength(2);
  });

  it('gives up an attempt that neither opens nor fails', () => {
    const { live, sockets } = setUp();
    live.start();
    vi.advanceTimersByTime(15_000);
    expect(sockets[0]?.closed).toBe(true);
    expect(live.state().kind).toBe('waiting');
  });

  it('asks whether the sign-in still stands when it is refused', () => {
    const { live, last, calls } = setUp();
    live.start();
    last().end();
    expect(calls.refused).toBe(1);
  });

  it('does not come back when told so', () => {
    const { live, last, sockets } = setUp();
    live.start();
    last().open();
    last().end(4003);
    vi.advanceTimersByTime(3_600_000);
    expect(sockets).toHaveLength(1);
    expect(live.state()).toEqual({ kind: 'stopped' });
  });

  it('leaves nothing running once stopped', () => {
    const { live, last, sockets } = setUp();
    live.start();
    last().open();
    live.stop();
    vi.advanceTimersByTime(3_600_000);
    expect(sockets).toHaveLength(1);
    expect(sockets[0]?.closed).toBe(true);
  });
});
