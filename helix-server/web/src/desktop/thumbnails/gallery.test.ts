import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { Gallery } from './gallery';

let gallery: Gallery;
let end: () => void;
let answers: (() => Response)[];
let revoked: string[];
let asked: [url: string, tag: string | undefined][];

const picture = (tag: string) => () =>
  new Response(new Blob(['jpeg']), { headers: { etag: tag, 'content-type': 'image/jpeg' } });
const unchanged = () => new Response(null, { status: 304 });
const refused = () =>
  Response.json({ error: { code: 'unavailable', message: 'it is starting' } }, { status: 503 });

beforeEach(() => {
  vi.useFakeTimers();
  answers = [];
  asked = [];
  vi.stubGlobal('fetch', (url: string, init: RequestInit) => {
    asked.push([url, (init.headers as Record<string, string>)['if-none-match']]);
    const answer = answers.shift();
    return answer ? Promise.resolve(answer()) : Promise.reject(new TypeError('no network'));
  });
  let made = 0;
  vi.spyOn(URL, 'createObjectURL').mockImplementation(() => `blob:${(made += 1)}`);
  revoked = [];
  vi.spyOn(URL, 'revokeObjectURL').mockImplementation((url) => {
    revoked.push(url);
  });
  gallery = new Gallery();
  end = gallery.begin();
});

afterEach(() => {
  end();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it('asks again with the tag, and keeps the picture while nothing has changed', async () => {
  answers = [picture('"1"'), unchanged, picture('"2"')];
  gallery.see('sbx_1', true);
  await vi.advanceTimersByTimeAsync(100);
  expect(gallery.of('sbx_1').get()).toEqual({ url: 'blob:1' });
  await vi.advanceTimersByTimeAsync(2_000);
  expect(gallery.of('sbx_1').get()).toEqual({ url: 'blob:1' });
  await vi.advanceTimersByTimeAsync(4_000);
  expect(gallery.of('sbx_1').get()).toEqual({ url: 'blob:2' });
  const url = '/api/v1/sandboxes/sbx_1/desktop/thumbnail';
  expect(asked.slice(0, 3)).toEqual([
    [url, undefined],
    [url, '"1"'],
    [url, '"1"'],
  ]);
  expect(revoked).toEqual(['blob:1']);
});

it('says why there is none, beside the last there was', async () => {
  answers = [refused, picture('"1"')];
  gallery.see('sbx_1', true);
  await vi.advanceTimersByTimeAsync(100);
  expect(gallery.of('sbx_1').get()).toEqual({ failure: 'It is starting.' });
  await vi.advanceTimersByTimeAsync(3_000);
  expect(gallery.of('sbx_1').get()).toEqual({ url: 'blob:1' });
  await vi.advanceTimersByTimeAsync(3_000);
  const { url, failure } = gallery.of('sbx_1').get();
  expect(url).toBe('blob:1');
  expect(failure).toContain('cannot be reached');
});

it('asks nothing while it is not seen, nor while the page is hidden', async () => {
  answers = [picture('"1"'), picture('"2"')];
  gallery.see('sbx_1', true);
  gallery.see('sbx_1', false);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(1);
  const hidden = vi.spyOn(document, 'hidden', 'get').mockReturnValue(true);
  gallery.see('sbx_1', true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(1);
  hidden.mockReturnValue(false);
  document.dispatchEvent(new Event('visibilitychange'));
  await vi.advanceTimersByTimeAsync(100);
  expect(asked).toHaveLength(2);
});
