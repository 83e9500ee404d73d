import { afterEach, expect, it, vi } from 'vitest';

import { cloneRepository } from './clone';

const cancel = vi.fn();

/** Answers a clone with these pieces, and never ends by itself. */
function answers(...pieces: string[]): void {
  const body = new ReadableStream({
    start: (to) => {
      for (const piece of pieces) to.enqueue(new TextEncoder().encode(piece));
    },
    cancel,
  });
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(body)));
}

const clone = (heard = vi.fn()) =>
  cloneRepository('sbx_1', { url: 'https://example.com/a.git', branch: '' }, heard);

afterEach(() => {
  cancel.mockClear();
});

it('says how it goes, and waits for nothing after the outcome', async () => {
  const heard = vi.fn();
  answers('{"type":"progress","what":"a"}\n{"type":"done",', '"repository":{"path":"a"}}\n');
  expect(await clone(heard)).toEqual({ path: 'a' });
  expect(heard).toHaveBeenCalledTimes(1);
  expect(cancel).toHaveBeenCalledTimes(1);
});

it('gives up on progress without an end', async () => {
  answers('a'.repeat(40_000), 'a'.repeat(40_000));
  await expect(clone()).rejects.toThrow('something unreadable');
  expect(cancel).toHaveBeenCalledTimes(1);
});
