import { expect, it } from 'vitest';

import { Wheel } from './wheel';

it.each([
  ['a notch in pixels', { deltaX: 0, deltaY: 100, deltaMode: 0 }, { dx: 0, dy: 120 }],
  ['a notch in lines', { deltaX: 0, deltaY: -3, deltaMode: 1 }, { dx: 0, dy: -120 }],
  ['a page to the side', { deltaX: 1, deltaY: 0, deltaMode: 2 }, { dx: 120, dy: 0 }],
  [
    'a notch that a browser made 53 pixels of',
    { deltaX: 0, deltaY: 53, deltaMode: 0, wheelDeltaX: 0, wheelDeltaY: -120 },
    { dx: 0, dy: 120 },
  ],
  [
    'a finger on a pad',
    { deltaX: 0, deltaY: 5, deltaMode: 0, wheelDeltaX: 0, wheelDeltaY: -15 },
    { dx: 0, dy: 6 },
  ],
  ['nothing', { deltaX: 0, deltaY: 0, deltaMode: 0 }, null],
  ['no number', { deltaX: NaN, deltaY: Infinity, deltaMode: 0 }, null],
  ['an unknown unit', { deltaX: 1, deltaY: 1, deltaMode: 9 }, null],
  ['far too much', { deltaX: 0, deltaY: 1e9, deltaMode: 0 }, { dx: 0, dy: 12_000 }],
])('%s', (_, turn, expected) => {
  expect(new Wheel().turned(turn)).toEqual(expected);
});

it('loses nothing of the smallest turns', () => {
  const wheel = new Wheel();
  let sum = 0;
  for (let turn = 0; turn < 100; turn += 1) {
    sum += wheel.turned({ deltaX: 0, deltaY: -0.5, deltaMode: 0 })?.dy ?? 0;
  }
  expect(sum).toBe(-60);
});
