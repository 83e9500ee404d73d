import { expect, it, vi } from 'vitest';

import type { DownOf } from '../wire';
import { Stills } from './stills';

const still = (sequence: number): DownOf<'still'> => ({
  kind: 'still',
  sequence,
  captured: 0,
  width: 2,
  height: 2,
  jpeg: new Uint8Array(1),
});

function start() {
  const opening: { done: (image: ImageBitmap) => void; failed: (why: Error) => void }[] = [];
  const shown: number[] = [];
  const onDropped = vi.fn();
  const stills = new Stills({
    open: () =>
      new Promise((done, failed) => {
        opening.push({ done, failed });
      }),
    onPicture: ({ sequence }) => shown.push(sequence),
    onDropped,
  });
  return { stills, opening, shown, onDropped };
}

const bitmap = () => {
  const close = vi.fn();
  return { close, image: { close } as unknown as ImageBitmap };
};

it('opens one at a time, then the newest of those that came meanwhile', async () => {
  const { stills, opening, shown, onDropped } = start();
  stills.show(still(1));
  stills.show(still(2));
  stills.show(still(3));
  expect(opening).toHaveLength(1);
  expect(onDropped).toHaveBeenCalledTimes(1);
  opening[0]?.done(bitmap().image);
  await vi.waitFor(() => {
    expect(opening).toHaveLength(2);
  });
  opening[1]?.done(bitmap().image);
  await vi.waitFor(() => {
    expect(shown).toEqual([1, 3]);
  });
});

it('goes on after one that cannot be opened', async () => {
  const { stills, opening, shown, onDropped } = start();
  stills.show(still(1));
  stills.show(still(2));
  opening[0]?.failed(new Error('no picture'));
  await vi.waitFor(() => {
    expect(opening).toHaveLength(2);
  });
  opening[1]?.done(bitmap().image);
  await vi.waitFor(() => {
    expect(shown).toEqual([2]);
  });
  expect(onDropped).toHaveBeenCalledTimes(1);
});

it('lets go of what is not wanted any more', async () => {
  const { stills, opening, shown } = start();
  stills.show(still(1));
  stills.skip();
  const { image, close } = bitmap();
  opening[0]?.done(image);
  await vi.waitFor(() => {
    expect(close).toHaveBeenCalled();
  });
  expect(shown).toEqual([]);
});
