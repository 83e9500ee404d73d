import { beforeEach, expect, it, vi } from 'vitest';

import { Painter } from './painter';
import { Pixels, type Picture } from './picture';

let due: (() => void)[];
let later: (() => void)[];
let shown: number[];
let skipped: number;
const [drawImage, putImageData] = [vi.fn(), vi.fn()];
const surface = { width: 300, height: 150, getContext: () => ({ drawImage, putImageData }) };

const painter = () =>
  new Painter({
    surface,
    schedule: (callback) => due.push(callback),
    then: (callback) => later.push(callback),
    onPainted: ({ sequence }) => shown.push(sequence),
    onSkipped: () => {
      skipped += 1;
    },
  });

const picture = (sequence: number, width = 1280) => {
  const close = vi.fn();
  const image = { sequence, close } as unknown as Picture['image'];
  return { sequence, captured: 0, width, height: 720, image, pieces: [], close };
};

/** The browser takes what is on the canvas. */
const take = () => {
  for (const callback of due.splice(0)) callback();
};
/** And that is done. */
const show = () => {
  take();
  for (const callback of later.splice(0)) callback();
};
/** Of what is on the canvas. */
const onCanvas = () => (drawImage.mock.lastCall?.[0] as { sequence: number }).sequence;

beforeEach(() => {
  due = [];
  later = [];
  shown = [];
  skipped = 0;
  drawImage.mockClear();
  putImageData.mockClear();
});

it('paints at once, and tells when it is shown', () => {
  const to = painter();
  const first = picture(1);
  to.show(first);
  expect(onCanvas()).toBe(1);
  expect(first.close).toHaveBeenCalled();
  expect(shown).toEqual([]);
  show();
  expect(shown).toEqual([1]);
  show();
  expect(drawImage).toHaveBeenCalledTimes(1);
});

it('shows two that came together one after the other', () => {
  const to = painter();
  to.show(picture(1));
  to.show(picture(2));
  take();
  // While the browser takes it, nothing else is done.
  expect([onCanvas(), shown]).toEqual([1, []]);
  for (const callback of later.splice(0)) callback();
  expect([onCanvas(), shown]).toEqual([2, [1]]);
  show();
  expect([shown, skipped]).toEqual([[1, 2], 0]);
});

it('lets nothing wait for more than one showing', () => {
  const to = painter();
  to.show(picture(1));
  to.show(picture(2));
  show();
  // The second has waited: what comes now is painted over it.
  to.show(picture(3));
  expect(onCanvas()).toBe(3);
  to.show(picture(4));
  show();
  expect([shown, skipped]).toEqual([[1, 3], 1]);
  show();
  expect([shown, onCanvas()]).toEqual([[1, 3, 4], 4]);
});

it('lets the newest wait, and paints in order', () => {
  const to = painter();
  for (const sequence of [1, 2, 3]) to.show(picture(sequence));
  take();
  to.show(picture(4));
  expect([onCanvas(), skipped]).toEqual([1, 2]);
  show();
  for (const callback of later.splice(0)) callback();
  show();
  expect(shown).toEqual([1, 4]);
});

it('is as large as the picture, without what an encoder padded', () => {
  const to = painter();
  to.show(picture(1, 1279));
  expect([surface.width, surface.height]).toEqual([1279, 720]);
  expect(drawImage).toHaveBeenCalledWith(expect.anything(), 0, 0, 1279, 720, 0, 0, 1279, 720);
});

it('puts what is in memory already, and gives the memory back', () => {
  const to = painter();
  const given = vi.fn();
  const data = {} as ImageData;
  to.show({ ...picture(1), image: new Pixels(data, given) });
  expect(putImageData).toHaveBeenCalledWith(data, 0, 0);
  expect(given).toHaveBeenCalledWith(data);
  expect(drawImage).not.toHaveBeenCalled();
});

it('neither paints nor tells of what was dropped, and paints what comes then', () => {
  const to = painter();
  const second = picture(2);
  to.show(picture(1));
  to.show(second);
  to.drop();
  expect(second.close).toHaveBeenCalled();
  show();
  expect([drawImage.mock.calls.length, shown]).toEqual([1, []]);
  to.show(picture(3));
  show();
  expect(shown).toEqual([3]);
});

it('asks for a showing before the picture is there, and again where it came too late', () => {
  const to = painter();
  to.expect();
  to.expect();
  expect(due).toHaveLength(1);
  to.show(picture(1));
  expect(due).toHaveLength(1);
  show();
  expect(shown).toEqual([1]);
  to.expect();
  show();
  expect([shown, due]).toEqual([[1], []]);
  to.show(picture(2));
  show();
  expect(shown).toEqual([1, 2]);
});

it('tells no more of what was shown, once it is dropped', () => {
  const to = painter();
  to.show(picture(1));
  take();
  to.drop();
  for (const callback of later.splice(0)) callback();
  expect(shown).toEqual([]);
});

const patch = (sequence: number) => {
  const data = { sequence } as unknown as ImageData;
  return { ...picture(sequence), image: undefined, pieces: [{ x: 8, y: 16, data }] };
};
const put = () => putImageData.mock.calls.map(([data]) => (data as { sequence: number }).sequence);

it('paints a patch where it belongs, over what is there', () => {
  const to = painter();
  to.show(picture(1));
  show();
  const second = patch(2);
  to.show(second);
  expect(putImageData).toHaveBeenLastCalledWith(second.pieces[0]?.data, 8, 16);
  show();
  expect([drawImage.mock.calls.length, shown, skipped]).toEqual([1, [1, 2], 0]);
});

it('paints what waits before its patches, and skips neither', () => {
  const to = painter();
  to.show(picture(1));
  const second = picture(2);
  for (const each of [second, patch(3), patch(4)]) to.show(each);
  show();
  expect([onCanvas(), put()]).toEqual([2, [3, 4]]);
  expect(second.close).toHaveBeenCalled();
  show();
  expect([shown, skipped]).toEqual([[1, 4], 0]);
});

it('leaves out a picture that waits, with its patches, for a newer one', () => {
  const to = painter();
  for (const each of [picture(1), patch(2), picture(3)]) to.show(each);
  show();
  expect([onCanvas(), put()]).toEqual([3, []]);
  show();
  expect([shown, skipped]).toEqual([[1, 3], 1]);
});
