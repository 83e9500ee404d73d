import { describe, expect, it } from 'vitest';

import { bytes } from '../wire/vectors';
import { readQoi } from './qoi';

const image = (width: number, chunks: string) =>
  bytes(
    `716f6966 ${width.toString(16).padStart(8, '0')} 00000001 03 00 ${chunks} 0000000000000001`,
  );
const read = (width: number, chunks: string) => {
  const pixels = readQoi(image(width, chunks), width);
  return pixels && Array.from({ length: width }, (_, at) => [...pixels.slice(4 * at, 4 * at + 3)]);
};

describe('an image as QOI', () => {
  it('is read, whatever its chunks are', () => {
    expect(read(3, 'fe ff0000 c0 fe 0000ff')).toEqual([
      [255, 0, 0],
      [255, 0, 0],
      [0, 0, 255],
    ]);
    // A run of the black before the first, small and middling differences over the ends of a
    // byte, and one that was there before.
    expect(read(5, 'c1 76 aab4 33')).toEqual([
      [0, 0, 0],
      [0, 0, 0],
      [1, 255, 0],
      [14, 9, 6],
      [1, 255, 0],
    ]);
  });

  it('has no pixel that is transparent', () => {
    expect([...(readQoi(image(2, 'c0 76'), 2) ?? [])].filter((_, at) => at % 4 === 3)).toEqual([
      255, 255,
    ]);
  });

  it.each([
    ['of more pixels than expected', image(2, 'c1'), 1],
    ['that is something else', bytes('89504e470d0a1a0a0000000d49484452'), 1],
    ['of nothing', bytes(''), 1],
    ['that ends before its pixels', bytes('716f6966 00000002 00000001 0300 fe ff0000'), 2],
    ['with a run beyond its end', image(2, 'c2'), 2],
    ['of four channels', bytes('716f6966 00000001 00000001 0400 ff 01020304'), 1],
    ['with a pixel of four channels', image(1, 'ff 01020304'), 1],
  ])('%s is none', (_, from, pixels) => {
    expect(readQoi(from, pixels)).toBeNull();
  });
});
