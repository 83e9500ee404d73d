import { describe, expect, it } from 'vitest';

import { desktopSizeFor, frameSize, place, toPicture } from './fit';

const HD = { width: 1280, height: 720 };

describe('a picture in its frame', () => {
  it('is as large as fits, in the middle', () => {
    expect(place(HD, { width: 640, height: 600 }, 'fit')).toEqual({
      x: 0,
      y: 120,
      width: 640,
      height: 360,
    });
    expect(place(HD, { width: 2560, height: 1440 }, 'fit')).toMatchObject({ width: 2560 });
  });

  it('has its own size, and begins where the frame does if it is larger', () => {
    expect(place(HD, { width: 1500, height: 600 }, 'actual')).toEqual({ x: 110, y: 0, ...HD });
  });

  it('is there even in a frame that has no size yet', () => {
    expect(place(HD, { width: 0, height: 0 }, 'fit')).toEqual({ x: 0, y: 0, ...HD });
  });
});

describe('a place in the picture', () => {
  const placed = { x: 100, y: 0, width: 200, height: 100 };

  it.each([
    ['the first', { x: 100, y: 0 }, { x: 0, y: 0 }],
    ['the far edge', { x: 300, y: 100 }, { x: 65_535, y: 65_535 }],
    ['the middle', { x: 200, y: 50 }, { x: 32_768, y: 32_768 }],
    ['beside it', { x: 20, y: 5_000 }, { x: 0, y: 65_535 }],
  ])('%s', (_, at, expected) => {
    expect(toPicture(at, placed)).toEqual(expected);
  });

  it('hits the pixel that is pointed at, in any size', () => {
    for (const width of [1, 7, 640, 1_279, 1_280, 3_001]) {
      for (const pixels of [1, 640, 1_280, 8_192]) {
        const shown = { x: 0, y: 0, width, height: 1 };
        for (let pixel = 0; pixel < width; pixel += Math.ceil(width / 50)) {
          const { x } = toPicture({ x: pixel + 0.5, y: 0 }, shown);
          const hit = Math.min(pixels - 1, Math.floor((x / 65_535) * pixels));
          const meant = Math.floor(((pixel + 0.5) / width) * pixels);
          expect(Math.abs(hit - meant)).toBeLessThanOrEqual(pixels === width ? 0 : 1);
        }
      }
    }
  });
});

it('a desktop follows its frame in even sizes, within bounds', () => {
  expect(desktopSizeFor({ width: 1001.4, height: 777 })).toEqual({ width: 1000, height: 776 });
  expect(desktopSizeFor({ width: 20, height: 20 })).toEqual({ width: 320, height: 240 });
  expect(desktopSizeFor({ width: 20_000, height: 500 })).toEqual({ width: 7_680, height: 500 });
  expect(desktopSizeFor({ width: 500, height: 20_000 })).toEqual({ width: 500, height: 4_320 });
});

it('a frame’s size can always be said', () => {
  expect(frameSize({ width: 0, height: 12_000.5 })).toEqual({ width: 1, height: 8_192 });
});
