/** X11 keysyms (`keysymdef.h`) of what a key means: W3C `KeyboardEvent.key`. */
const NAMED: ReadonlyMap<string, number> = new Map([
  ['Backspace', 0xff08],
  ['Tab', 0xff09],
  ['Enter', 0xff0d],
  ['Pause', 0xff13],
  ['Escape', 0xff1b],
  ['Home', 0xff50],
  ['ArrowLeft', 0xff51],
  ['ArrowUp', 0xff52],
  ['ArrowRight', 0xff53],
  ['ArrowDown', 0xff54],
  ['PageUp', 0xff55],
  ['PageDown', 0xff56],
  ['End', 0xff57],
  ['PrintScreen', 0xff61],
  ['Insert', 0xff63],
  ['ContextMenu', 0xff67],
  ['Delete', 0xffff],
  ['AltGraph', 0xfe03],
  ['Shift', 0xffe1],
  ['Control', 0xffe3],
  ['Alt', 0xffe9],
  ['Meta', 0xffeb],
  ...Array.from({ length: 24 }, (_, index): [string, number] => [`F${index + 1}`, 0xffbe + index]),
]);

/** Keysyms of characters beyond Latin-1 are their code points, with this above. */
const UNICODE = 0x0100_0000;

/** 0 where there is none: dead keys, and keys that mean nothing. */
export function keysymOf(key: string): number {
  const named = NAMED.get(key);
  if (named !== undefined) return named;
  const [char, ...others] = key;
  if (char === undefined || others.length > 0) return 0;
  const point = char.codePointAt(0) ?? 0;
  if (point < 0x20 || (point >= 0x7f && point < 0xa0)) return 0;
  return point <= 0xff ? point : UNICODE + point;
}
