import { expect, it } from 'vitest';

import { hasPicture, lookOf } from './look';

type Shown = Parameters<typeof lookOf>[0];

const running: Shown = { state: 'running', reachable: true, desktop: { width: 1280, height: 720 } };
const PICTURE = { url: 'blob:1' };

it.each<[string, Partial<Shown>, Parameters<typeof lookOf>[1], string | null]>([
  ['a picture says it all', {}, PICTURE, null],
  ['before the first', {}, {}, 'Waiting for a picture'],
  [
    'a picture that is not of now',
    {},
    { ...PICTURE, failure: 'Starting.' },
    'No picture now: Starting.',
  ],
  ['none', { desktop: null }, {}, 'No desktop'],
  ['one that is made', { state: 'creating' }, {}, 'Being made'],
  ['one that stands still', { state: 'paused' }, PICTURE, 'Paused'],
  [
    'one that was stopped',
    { state: 'stopped', end: { kind: 'requested', message: 'x' } },
    {},
    'Stopped',
  ],
  [
    'one that stopped',
    { state: 'stopped', end: { kind: 'idle', message: 'nobody used it' } },
    {},
    'Stopped: Nobody used it.',
  ],
  [
    'one that failed',
    { state: 'failed', end: { kind: 'internal', message: 'no disk' } },
    {},
    'Failed: No disk.',
  ],
  ['one that is away', { reachable: false }, PICTURE, 'Its host cannot be reached'],
])('%s', (_, more, thumbnail, expected) => {
  const look = lookOf({ ...running, ...more }, thumbnail);
  expect(look && [look.text, look.why].filter((part) => part !== undefined).join(': ')).toBe(
    expected,
  );
});

it('only what runs, can be reached and has a desktop is asked for a picture', () => {
  expect(hasPicture(running)).toBe(true);
  expect(hasPicture({ ...running, state: 'paused' })).toBe(false);
  expect(hasPicture({ ...running, reachable: false })).toBe(false);
  expect(hasPicture({ ...running, desktop: null })).toBe(false);
});
