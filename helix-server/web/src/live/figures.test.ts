import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Backoff } from './backoff';
import { FiguresStream, parseEvent, type Figures } from './figures';

interface Stats {
  at_ms: number;
}

/** A server whose streams a test writes. */
function scripted() {
  const opened: { signal: AbortSignal; write: (text: string) => void; end: () => void }[] = [];
  let answer: (() => Response) | null = null;
  const fetch = vi.fn((_url: unknown, init?: RequestInit) => {
    if (answer) return Promise.resolve(answer());
    const signal = init?.signal as AbortSignal;
    const body = new ReadableStream<Uint8Array>({
      start: (stream) => {
        opened.push({
          signal,
          write: (text) => {
            stream.enqueue(new TextEncoder().encode(text));
          },
          end: () => {
            stream.close();
          },
        });
        signal.addEventListener('abort', () => {
          stream.error(new DOMException('aborted', 'AbortError'));
        });
      },
    });
    return Promise.resolve(new Response(body));
  });
  return {
    fetch: fetch as unknown as typeof globalThis.fetch,
    opened,
    refuse: (made: () => Response) => {
      answer = made;
    },
  };
}

const settle = () => vi.advanceTimersByTimeAsync(0);

describe('figures', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const start = () => {
    const server = scripted();
    const seen: Figures<Stats>[] = [];
    const stream = new FiguresStream<Stats>({
      url: '/stats/stream',
      fetch: server.fetch,
      backoff: new Backoff({ firstMs: 1_000, random: () => 1 }),
      onChange: (figures) => seen.push(figures),
    });
    return { server, seen, stream };
  };

  it('come as they are measured, wherever the stream is cut into parts', async () => {
    const { server, seen, stream } = start();
    stream.show(true);
    await settle();
    server.opened[0]?.write('data: {"at_ms":1}\n\n: alive\n\ndata: {"at');
    server.opened[0]?.write('_ms":2}\n\n');
    await settle();
    expect(seen).toEqual([{ now: { at_ms: 1 } }, { now: { at_ms: 2 } }]);
    stream.show(false);
  });

  it('are asked for only while somebody looks, and by one request', async () => {
    const { server, stream } = start();
    stream.show(true);
    stream.show(true);
    await settle();
    expect(server.opened).toHaveLength(1);
    stream.show(false);
    expect(server.opened[0]?.signal.aborted).toBe(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.opened).toHaveLength(1);
    stream.show(true);
    await settle();
    expect(server.opened).toHaveLength(2);
    stream.show(false);
  });

  it('that end with a reason say it, and are asked for again', async () => {
    const { server, seen, stream } = start();
    stream.show(true);
    await settle();
    server.opened[0]?.write('event: error\ndata: {"code":"unavailable","message":"gone"}\n\n');
    await settle();
    expect(seen.at(-1)?.error).toMatchObject({ message: 'Gone.' });
    await vi.advanceTimersByTimeAsync(1_000);
    server.opened[1]?.write('data: {"at_ms":3}\n\n');
    await settle();
    expect(seen.at(-1)).toEqual({ now: { at_ms: 3 } });
    stream.show(false);
  });

  it('that are refused say why, less and less often', async () => {
    const { server, seen, stream } = start();
    const error = { code: 'conflict', message: 'it is stopped' };
    server.refuse(() => Response.json({ error }, { status: 409 }));
    stream.show(true);
    await settle();
    expect(seen.at(-1)?.error).toMatchObject({ status: 409, message: 'It is stopped.' });
    await vi.advanceTimersByTimeAsync(3_000);
    expect(server.fetch).toHaveBeenCalledTimes(3);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(server.fetch).toHaveBeenCalledTimes(3);
    stream.show(false);
  });

  it('are read by their fields', () => {
    expect(parseEvent('event: error\ndata: {}')).toEqual({ kind: 'error', data: '{}' });
    expect(parseEvent(': alive')).toEqual({ kind: 'message', data: '' });
    expect(parseEvent('data:a\ndata: b')).toEqual({ kind: 'message', data: 'a\nb' });
  });
});
