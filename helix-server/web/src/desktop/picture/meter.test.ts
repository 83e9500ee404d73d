import { expect, it } from 'vitest';

import { Meter } from './meter';

it('counts over the last two seconds', () => {
  const meter = new Meter();
  for (let at = 0; at < 4_000; at += 20) {
    meter.received(at, 1_000);
    meter.painted(at, at % 200 === 0 ? 100 : 10);
  }
  meter.dropped(3);
  meter.dropped(1);
  const figures = meter.figures(4_000, 12, 1);
  expect(figures.fps).toBeCloseTo(49.5);
  expect(figures.megabits).toBeCloseTo(0.396);
  expect(figures.latency).toEqual({ median: 10, p95: 100 });
  expect(figures).toMatchObject({ roundTrip: 12, dropped: 4, queue: 1 });
});

it('a still desktop has no latency, and none that is old', () => {
  const meter = new Meter();
  meter.painted(0, 30);
  meter.painted(5, null);
  expect(meter.figures(10, null, 0).latency).toEqual({ median: 30, p95: 30 });
  expect(meter.figures(9_000, null, 0)).toMatchObject({ fps: 0, megabits: 0, latency: null });
});
