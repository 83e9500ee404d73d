import { beforeEach, expect, it, vi } from 'vitest';

import { Painter } from './painter';
import { Pixels, type Picture } from './picture';

let due: (() => void)[];
let painted: number[];
let skipped: number;
const [drawImage, putImageData] = [vi.fn(), vi.fn()];
const surface = { width: 300, height: 150, getContext: () => ({ drawImage, putImageData }) };

const painter = () =>
  new Painter({
    surface,
    schedule: (paint) => due.push(paint),
    onPainted: ({ sequence }) => painted.push(sequence),
    onSkipped: () => {
      skipped += 1;
    },
  });

const picture = (sequence: number, width = 1280) => {
  const close = vi.fn();
  const image = { close } as unknown as Picture['image'];
  return { sequence, captured: 0, width, height: 720, image, close };
};

const show = () => {
  for (const paint of due.splice(0)) paint();
};

beforeEach(() => {
  due = [];
  painted = [];
  skipped = 0;
  drawImage.mockClear();
});

it('paints the newest of what came since the last time', () => {
  const to = painter();
  const [first, second] = [picture(1), picture(2)];
  to.show(first);
  to.show(second);
  expect(first.close).toHaveBeenCalled();
  show();
  expect([painted, skipped]).toEqual([[2], 1]);
  expect(second.close).toHaveBeenCalled();
  show();
  expect(drawImage).toHaveBeenCalledTimes(1);
});

it('is as large as the picture, without what an encoder padded', () => {
  const to = painter();
  to.show(picture(1, 1279));
  show();
  expect([surface.width, surface.height]).toEqual([1279, 720]);
  expect(drawImage).toHaveBeenCalledWith(expect.anything(), 0, 0, 1279, 720, 0, 0, 1279, 720);
});

it('puts what is in memory already, and gives the memory back', () => {
  const to = painter();
  const given = vi.fn();
  const data = {} as ImageData;
  to.show({ ...picture(1), image: new Pixels(data, given) });
  show();
  expect(putImageData).toHaveBeenCalledWith(data, 0, 0);
  expect(given).toHaveBeenCalledWith(data);
  expect(drawImage).not.toHaveBeenCalled();
});

it('does not paint what was dropped, and paints what comes then', () => {
  const to = painter();
  const first = picture(1);
  to.show(first);
  to.drop();
  expect(first.close).toHaveBeenCalled();
  to.show(picture(2));
  show();
  expect(painted).toEqual([2]);
});
