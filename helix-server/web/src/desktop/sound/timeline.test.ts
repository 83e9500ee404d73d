import { expect, it } from 'vitest';

import { Timeline } from './timeline';

const PIECE = 0.02;

it('plays one piece after the other, a moment after the first came', () => {
  const timeline = new Timeline();
  expect(timeline.place(PIECE, 1)).toBeCloseTo(1.06);
  expect(timeline.place(PIECE, 1.02)).toBeCloseTo(1.08);
  expect(timeline.place(PIECE, 1.07)).toBeCloseTo(1.1);
});

it('waits again after a gap', () => {
  const timeline = new Timeline();
  timeline.place(PIECE, 1);
  expect(timeline.place(PIECE, 5)).toBeCloseTo(5.06);
});

it('leaves out what would be heard too late, and no more than that', () => {
  const timeline = new Timeline();
  // A second of sound comes at once, as after a network that stood still.
  const placed = Array.from({ length: 50 }, () => timeline.place(PIECE, 1));
  const played = placed.filter((at) => at !== null);
  expect(Math.max(...played)).toBeLessThan(1.35);
  expect(played.length).toBeGreaterThan(10);
  expect(timeline.place(PIECE, 1.1)).not.toBeNull();
});
