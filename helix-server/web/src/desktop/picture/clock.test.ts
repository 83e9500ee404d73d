import { expect, it } from 'vitest';

import { DesktopClock } from './clock';

it('knows nothing before the first answer', () => {
  const clock = new DesktopClock();
  expect(clock.roundTrip()).toBeNull();
  expect(clock.age(0, 0)).toBeNull();
});

it('finds the age of a picture by the other clock', () => {
  const clock = new DesktopClock();
  // The other clock is 5,000 behind; the way is 10 each.
  clock.heard(10_000, 10_020, 5_010);
  expect(clock.roundTrip()).toBe(20);
  expect(clock.age(5_000, 10_033)).toBe(33);
});

it('believes the answer that waited the least', () => {
  const clock = new DesktopClock();
  clock.heard(10_000, 10_020, 5_010);
  // The answer to this one stood 400 in a queue.
  clock.heard(11_000, 11_420, 6_010);
  expect(clock.roundTrip()).toBe(420);
  expect(clock.age(6_000, 11_033)).toBe(33);
});

it('forgets what is long ago, as clocks drift', () => {
  const clock = new DesktopClock();
  clock.heard(0, 1, 0.5);
  for (let at = 1; at <= 12; at += 1) clock.heard(at * 1_000, at * 1_000 + 20, at * 1_000 + 110);
  expect(clock.age(20_000, 20_000)).toBe(100);
});

it('no picture is from the future', () => {
  const clock = new DesktopClock();
  clock.heard(0, 10, 5);
  expect(clock.age(100, 90)).toBe(0);
  clock.forget();
  expect(clock.age(100, 90)).toBeNull();
});
