import { beforeEach, expect, it, vi } from 'vitest';

import { nextFrame } from './next-frame';

let frames: (() => void)[];
const paint = vi.fn();

beforeEach(() => {
  vi.useFakeTimers();
  frames = [];
  paint.mockClear();
  vi.stubGlobal('requestAnimationFrame', (callback: () => void) => frames.push(callback) - 1);
  vi.stubGlobal('cancelAnimationFrame', (index: number) => {
    frames[index] = () => undefined;
  });
});

const show = () => {
  for (const frame of frames) frame();
};

it('paints once, when the browser shows something', () => {
  nextFrame(paint);
  vi.advanceTimersByTime(200);
  expect(paint).not.toHaveBeenCalled();
  show();
  vi.advanceTimersByTime(1_000);
  expect(paint).toHaveBeenCalledTimes(1);
});

it('paints once where the browser shows nothing', () => {
  nextFrame(paint);
  vi.advanceTimersByTime(250);
  show();
  expect(paint).toHaveBeenCalledTimes(1);
});
