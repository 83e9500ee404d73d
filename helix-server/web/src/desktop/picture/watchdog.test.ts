import { expect, it } from 'vitest';

import { RenderWatchdog } from './watchdog';

it('is content with a picture that is painted', () => {
  const dog = new RenderWatchdog();
  for (let now = 0; now < 10_000; now += 100) {
    dog.arrived(now);
    expect(dog.stuck(now)).toBe(false);
    dog.painted();
  }
});

it('is content with a desktop that does not change', () => {
  const dog = new RenderWatchdog();
  dog.arrived(0);
  dog.painted();
  expect(dog.stuck(60_000)).toBe(false);
});

it('barks once for each time that nothing is painted for long, and counts', () => {
  const dog = new RenderWatchdog();
  dog.arrived(0);
  dog.arrived(1_000);
  expect(dog.stuck(2_999)).toBe(false);
  expect(dog.stuck(3_000)).toBe(true);
  expect(dog.stuck(9_000)).toBe(false);
  dog.arrived(9_000);
  expect(dog.stuck(12_000)).toBe(true);
  expect(dog.rebuilt).toBe(2);
  dog.arrived(12_000);
  dog.painted();
  expect(dog.rebuilt).toBe(0);
});

it('forgives what came while nobody looked', () => {
  const dog = new RenderWatchdog();
  dog.arrived(0);
  dog.forgive();
  expect(dog.stuck(5_000)).toBe(false);
});
