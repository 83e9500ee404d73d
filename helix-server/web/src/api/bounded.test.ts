import { expect, it, vi } from 'vitest';

import { failureOf, firstBytes } from './bounded';

/** A body that never ends. */
function endless(cancel = vi.fn()): Response {
  const body = new ReadableStream({
    pull: (to) => {
      to.enqueue(new Uint8Array(1000).fill(97));
    },
    cancel,
  });
  return new Response(body, { status: 409 });
}

it('reads no more than was asked for', async () => {
  const cancel = vi.fn();
  expect(await firstBytes(endless(cancel), 2500)).toHaveLength(2500);
  expect(cancel).toHaveBeenCalledTimes(1);
});

it('reads what is shorter whole', async () => {
  const bytes = await firstBytes(new Response('abc'), 2500);
  expect(new TextDecoder().decode(bytes)).toBe('abc');
  expect(await firstBytes(new Response(null, { status: 204 }), 10)).toHaveLength(0);
});

it('tells why an answer is not a success, also where that has no end', async () => {
  const body = JSON.stringify({ error: { code: 'conflict', message: 'it is paused' } });
  const said = await failureOf(new Response(body, { status: 409 }));
  expect([said.code, said.status, said.message]).toEqual(['conflict', 409, 'It is paused.']);
  expect((await failureOf(endless())).code).toBe('unreadable');
});
