import { afterEach, expect, it, vi } from 'vitest';

import { whyRefused } from './refusal';

const answers = (answer: () => Promise<Response>) => {
  const fetch = vi.fn<(url: string) => Promise<Response>>(answer);
  vi.stubGlobal('fetch', fetch);
  return fetch;
};

afterEach(() => {
  vi.unstubAllGlobals();
});

it('a refusal is told in the words of the answer to the same way', async () => {
  const error = { code: 'unavailable', message: 'there is no sway: install it', retryable: true };
  const asked = answers(() => Promise.resolve(Response.json({ error }, { status: 503 })));
  expect(await whyRefused('wss://h/api/v1/sandboxes/sbx_1/desktop')).toBe(
    'There is no sway: install it.',
  );
  expect(asked.mock.calls.map(([url]) => url)).toEqual([
    'https://h/api/v1/sandboxes/sbx_1/desktop/thumbnail',
  ]);
});

it('nothing is said where the other answer came, and as much as fits where it is long', async () => {
  answers(() => Promise.resolve(new Response('jpeg')));
  expect(await whyRefused('ws://h/d')).toBeUndefined();
  const error = { code: 'unavailable', message: 'x'.repeat(9_000), retryable: true };
  answers(() => Promise.resolve(Response.json({ error }, { status: 503 })));
  expect(await whyRefused('ws://h/d')).toHaveLength(300);
});

it('a server that does not answer at all is named', async () => {
  answers(() => Promise.reject(new TypeError('failed')));
  expect(await whyRefused('ws://h/d')).toContain('cannot be reached');
});
