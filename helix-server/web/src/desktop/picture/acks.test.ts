import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Acks, BYTES, FOLLOWS_MS, WITHIN_MS } from './acks';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function acks(): {
  told: [number, number][];
  paint: (sequence: number, at: number, bytes?: number) => void;
  forget: () => void;
} {
  const told: [number, number][] = [];
  let now = 0;
  const all = new Acks((sequence) => told.push([sequence, Math.round(now)]));
  const wait = (at: number): void => {
    // By single milliseconds, so that what is told by a timer is told when it is.
    for (; now < at; now++) vi.advanceTimersByTime(1);
  };
  return {
    told,
    paint: (sequence, at, bytes = 1_000) => {
      wait(at);
      all.arrived(bytes);
      all.painted(sequence, at);
    },
    forget: () => {
      all.forget();
      wait(now + 1_000);
    },
  };
}

test('a picture by itself is told of at once', () => {
  const { told, paint } = acks();
  for (const [sequence, at] of [
    [1, 10],
    [2, 200],
    [3, 201 + FOLLOWS_MS],
  ] as const)
    paint(sequence, at);
  expect(told).toEqual([
    [1, 10],
    [2, 200],
    [3, 201 + FOLLOWS_MS],
  ]);
});

test('of sixty a second, every fourth', () => {
  const { told, paint } = acks();
  for (let sequence = 1; sequence <= 61; sequence++)
    paint(sequence, Math.round((sequence * 1_000) / 60));
  expect(told.map(([sequence]) => sequence)).toEqual([
    1,
    ...Array.from({ length: 15 }, (_, at) => 4 * at + 5),
  ]);
});

test('large ones do not wait for each other', () => {
  const { told, paint } = acks();
  for (let sequence = 1; sequence <= 5; sequence++) paint(sequence, sequence * 16, BYTES / 2);
  expect(told.map(([sequence]) => sequence)).toEqual([1, 3, 5]);
});

test('the last of several is told of soon, and only the last', () => {
  const { told, paint } = acks();
  paint(1, 100);
  paint(2, 110);
  paint(3, 112);
  paint(4, 1_000);
  expect(told).toEqual([
    [1, 100],
    [3, expect.closeTo(112 + WITHIN_MS, -0.5)],
    [4, 1_000],
  ]);
});

test('what is forgotten is not told of, and what follows is at once', () => {
  const { told, paint, forget } = acks();
  paint(8, 100);
  paint(9, 110);
  forget();
  paint(1, 1_200);
  expect(told).toEqual([
    [8, 100],
    [1, 1_200],
  ]);
});
