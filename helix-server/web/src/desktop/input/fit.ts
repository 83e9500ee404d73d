/** Where the picture is in its frame, and what of it is where. */
import { FULL, LARGEST_SIDE } from '../wire';

export interface Box {
  width: number;
  height: number;
}

export interface Placed extends Box {
  x: number;
  y: number;
}

/** How the picture is shown. */
export const VIEWS = ['fit', 'actual', 'follow'] as const;
export type View = (typeof VIEWS)[number];

/** In its own size, or as large as fits; in the middle, and from the start where it is larger. */
export function place(picture: Box, frame: Box, view: View): Placed {
  const fits = Math.min(frame.width / picture.width, frame.height / picture.height);
  const scale = view === 'actual' || !Number.isFinite(fits) || fits <= 0 ? 1 : fits;
  const width = Math.max(1, Math.round(picture.width * scale));
  const height = Math.max(1, Math.round(picture.height * scale));
  return {
    x: Math.max(0, Math.round((frame.width - width) / 2)),
    y: Math.max(0, Math.round((frame.height - height) / 2)),
    width,
    height,
  };
}

/** A place on the screen as a coordinate of the picture; outside of it, the nearest edge. */
export function toPicture(at: { x: number; y: number }, placed: Placed): { x: number; y: number } {
  return {
    x: coordinate(at.x - placed.x, placed.width),
    y: coordinate(at.y - placed.y, placed.height),
  };
}

function coordinate(distance: number, length: number): number {
  const share = length > 0 ? distance / length : 0;
  return Math.round(Math.min(1, Math.max(0, share)) * FULL);
}

/** A coordinate of the picture as a share of its width or height. */
export const shareOf = (coordinate: number): number => coordinate / FULL;

/** Desktops of other sizes are refused. */
const SMALLEST: Box = { width: 320, height: 240 };
const LARGEST: Box = { width: 7_680, height: 4_320 };

/** The size of a desktop that fills the frame; even, as encoders want it. */
export function desktopSizeFor(frame: Box): Box {
  const side = (name: keyof Box) =>
    Math.min(LARGEST[name], Math.max(SMALLEST[name], Math.floor(frame[name] / 2) * 2));
  return { width: side('width'), height: side('height') };
}

/** The size of a frame as it can be said. */
export function frameSize(frame: Box): Box {
  const side = (length: number) => Math.min(LARGEST_SIDE, Math.max(1, Math.round(length)));
  return { width: side(frame.width), height: side(frame.height) };
}
