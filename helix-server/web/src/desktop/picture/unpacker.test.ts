import { beforeEach, expect, it, vi } from 'vitest';

import { Pixels, type Picture } from './picture';
import { Unpacker } from './unpacker';

let shown: Picture[];
let skipped: number;
/** Copies that wait to be done, or to fail. */
let copies: { done: () => void; fail: () => void }[];

class FakeImageData {
  readonly data = new Uint8ClampedArray(4);
  constructor(
    readonly width: number,
    readonly height: number,
  ) {}
}

const unpacker = () =>
  new Unpacker({
    onPicture: (picture) => shown.push(picture),
    onSkipped: () => {
      skipped += 1;
    },
  });

function picture(sequence: number, format: string | null = 'I420') {
  const close = vi.fn();
  const copyTo = vi.fn(
    () =>
      new Promise<void>((done, fail) => {
        copies.push({ done, fail });
      }),
  );
  const visibleRect = { width: 1280, height: 720 };
  const size = { visibleRect, displayWidth: 1280, displayHeight: 720 };
  const image = { format, close, copyTo, ...size } as unknown as VideoFrame;
  return { sequence, captured: 0, width: 1280, height: 720, image, pieces: [], close, copyTo };
}

const settle = () => new Promise((done) => setTimeout(done, 0));
const copied = async () => {
  copies.shift()?.done();
  await settle();
};
const sequences = () => shown.map(({ sequence }) => sequence);

beforeEach(() => {
  vi.stubGlobal('ImageData', FakeImageData);
  shown = [];
  skipped = 0;
  copies = [];
});

it('copies what is in memory, and uses that memory again', async () => {
  const through = unpacker();
  const first = picture(1);
  through.take(first);
  await copied();
  expect(first.close).toHaveBeenCalled();
  const [image] = shown.map((each) => each.image);
  if (!(image instanceof Pixels)) throw new Error('it is as it was');
  image.close();
  through.take(picture(2));
  await copied();
  const [, again] = shown.map((each) => each.image);
  expect(again instanceof Pixels && again.data).toBe(image.data);
});

it('leaves what is on a graphics card as it is', () => {
  const through = unpacker();
  for (const format of ['NV12', null]) through.take(picture(1, format));
  expect(copies).toHaveLength(0);
  expect(shown).toHaveLength(2);
});

it('does the newest next, and not what came between', async () => {
  const through = unpacker();
  const between = picture(2);
  for (const each of [picture(1), between, picture(3)]) through.take(each);
  await copied();
  await copied();
  expect(sequences()).toEqual([1, 3]);
  expect(skipped).toBe(1);
  expect(between.close).toHaveBeenCalled();
});

it('shows nothing of what was dropped', async () => {
  const through = unpacker();
  const [first, second] = [picture(1), picture(2)];
  through.take(first);
  through.take(second);
  through.drop();
  await copied();
  expect(shown).toHaveLength(0);
  expect([first.close, second.close].every((close) => close.mock.calls.length === 1)).toBe(true);
  through.take(picture(3));
  await copied();
  expect(sequences()).toEqual([3]);
});

it('where a browser cannot copy, shows frames as they are, from then on', async () => {
  const through = unpacker();
  const first = picture(1);
  through.take(first);
  copies.shift()?.fail();
  await settle();
  expect(shown[0]?.image).toBe(first.image);
  expect(first.close).not.toHaveBeenCalled();
  const second = picture(2);
  through.take(second);
  expect(second.copyTo).not.toHaveBeenCalled();
  expect(sequences()).toEqual([1, 2]);
});

it('goes on after a picture that could not be shown', async () => {
  const reported = vi.fn();
  vi.stubGlobal('reportError', reported);
  const through = new Unpacker({
    onPicture: (picture) => {
      if (picture.sequence === 1) throw new Error('the canvas is gone');
      shown.push(picture);
    },
    onSkipped: () => undefined,
  });
  through.take(picture(1));
  await copied();
  expect(reported).toHaveBeenCalledTimes(1);
  through.take(picture(2));
  await copied();
  expect(sequences()).toEqual([2]);
});

const patch = (sequence: number): Picture => {
  const pieces = [{ x: sequence, y: 0, data: {} as ImageData }];
  return { ...picture(sequence), image: undefined, pieces };
};

it('lets a patch through, but not past what it is a patch of', async () => {
  const through = unpacker();
  through.take(patch(1));
  expect(sequences()).toEqual([1]);
  for (const each of [picture(2), patch(3), patch(4)]) through.take(each);
  expect(sequences()).toEqual([1]);
  await copied();
  expect(sequences()).toEqual([1, 2, 4]);
  expect(shown[2]?.pieces.map(({ x }) => x)).toEqual([3, 4]);
});

it('keeps the patches of what is next with it', async () => {
  const through = unpacker();
  for (const each of [picture(1), picture(2), patch(3)]) through.take(each);
  await copied();
  await copied();
  expect([sequences(), shown[1]?.pieces, skipped]).toEqual([[1, 3], [{ x: 3, y: 0, data: {} }], 0]);
});
