import { expect, it } from 'vitest';

import { noticesOf } from './notices';

const WELL = {
  connection: { kind: 'live' },
  notice: null,
  trouble: null,
  controls: true,
  looksOn: false,
  present: [],
  pictured: true,
} as const satisfies Parameters<typeof noticesOf>[0];

const texts = (known: Partial<Parameters<typeof noticesOf>[0]>) =>
  noticesOf({ ...WELL, ...known }, 1_000).map(({ text }) => text);

const somebody = (name: string, controls: boolean) => ({
  viewer: 2,
  controls,
  you: false,
  looksOn: false,
  pointing: false,
  x: 0,
  y: 0,
  name,
});

it('nothing is said when all is well, nor when it was left', () => {
  expect(texts({})).toEqual([]);
  expect(texts({ connection: { kind: 'closed' }, controls: true })).toEqual([]);
});

it('a broken connection is all that is said', () => {
  const connection = { kind: 'waiting', until: 5_500 } as const;
  expect(texts({ connection, trouble: 'stuck', controls: false })).toEqual([
    'The connection broke; this is the last picture. Trying again in 4 s.',
  ]);
  expect(texts({ connection: { kind: 'waiting', until: 1_500 }, pictured: false })).toEqual([
    'The desktop could not be reached. Trying again.',
  ]);
  const full = { kind: 'waiting', until: 5_500, reason: '128 viewers are here already' } as const;
  expect(texts({ connection: full, pictured: false })).toEqual([
    '128 viewers are here already. Trying again in 4 s.',
  ]);
  expect(texts({ connection: { ...full, reason: 'the sandbox was lost: it stopped' } })).toEqual([
    'The sandbox was lost: it stopped. This is the last picture. Trying again in 4 s.',
  ]);
  expect(texts({ connection: { kind: 'closed', reason: 'version 2' } })).toEqual([
    'The connection ended: version 2.',
  ]);
});

it('the desktop’s own words are shown, and ours where it has none', () => {
  const notice = (code: number, text: string) => ({ kind: 'notice', code, text }) as const;
  expect(texts({ notice: notice(3, 'x264enc ended') })).toEqual(['X264enc ended.']);
  expect(texts({ notice: notice(1, '') })).toEqual(['The desktop is starting.']);
  expect(texts({ notice: notice(99, '') })).toEqual(['Notice 99.']);
});

it('who has the controls is named', () => {
  expect(texts({ controls: false, present: [somebody('Ana', true)] })).toEqual([
    'Ana has the controls; you look on.',
  ]);
  expect(texts({ controls: false, present: [somebody('', true)] })).toEqual([
    'Somebody else has the controls; you look on.',
  ]);
  expect(texts({ controls: false, present: [somebody('Ana', false)] })).toEqual([
    'Nobody has the controls; you look on.',
  ]);
});

it('several things may be said at once', () => {
  const notice = { kind: 'notice', code: 5, text: '' } as const;
  expect(texts({ notice, trouble: 'not-secure', controls: false })).toHaveLength(3);
});

it('who only looks on is told so, whoever has the controls', () => {
  const [notice] = noticesOf({ ...WELL, controls: false, looksOn: true }, 1_000);
  expect(notice?.text).toContain('You only look on');
  expect(notice?.action?.does).toBe('takePart');
});
