/** Reads what the desktop says. */
import { Reader, WireError } from './bytes';
import {
  CODECS,
  LARGEST_DOWN,
  LARGEST_PATCH,
  LARGEST_SIDE,
  VERSION,
  type Codec,
  type Down,
  type DownOf,
  type Present,
} from './messages';

/** The codes of notices begin at 0 and end here. */
const LAST_NOTICE = 7;

/** One message. Its bytes are not copied: what it holds of them is a view. */
export function decodeDown(bytes: Uint8Array<ArrayBuffer>): Down {
  if (bytes.length > LARGEST_DOWN) throw new WireError('the message is too large');
  const from = new Reader(bytes);
  const kind = from.u8();
  const read = READERS[kind];
  if (!read) throw new WireError(`no message is of kind 0x${kind.toString(16).padStart(2, '0')}`);
  const message = read(from);
  from.end();
  return message;
}

const READERS: Record<number, (from: Reader) => Down> = {
  0x01: hello,
  0x02: (from) => {
    const sequence = from.u32();
    const captured = from.u64();
    const flags = flagsOf(from, 2);
    const size = picture(from);
    const key = has(flags, 1);
    const recovery = has(flags, 2);
    return { kind: 'frame', sequence, captured, key, recovery, ...size, picture: pixels(from) };
  },
  0x03: (from) => ({
    kind: 'still',
    sequence: from.u32(),
    captured: from.u64(),
    ...picture(from),
    jpeg: pixels(from),
  }),
  0x04: cursor,
  0x05: (from) => ({ kind: 'pointer', x: from.u16(), y: from.u16() }),
  0x06: (from) => ({ kind: 'clipboard', mime: from.str8(), content: from.rest() }),
  0x07: (from) => {
    const count = from.u8();
    return { kind: 'presence', viewers: Array.from({ length: count }, () => present(from)) };
  },
  0x08: (from) => ({
    kind: 'stats',
    frames: from.u32(),
    dropped: from.u32(),
    encodeMicros: from.u32(),
    captureMicros: from.u32(),
    kbits: from.u32(),
    targetKbits: from.u32(),
    viewers: from.u16(),
  }),
  0x09: (from) => ({ kind: 'pong', token: from.u64(), now: from.u64() }),
  0x0a: (from) => ({ kind: 'notice', code: noticeOf(from.u8()), text: from.str16() }),
  0x0b: (from) => ({
    kind: 'audio',
    sequence: from.u32(),
    captured: from.u64(),
    opus: from.rest(),
  }),
  0x0c: patch,
};

function hello(from: Reader): DownOf<'hello'> {
  // Before anything else of it: another version may have other fields.
  const version = from.u16();
  if (version !== VERSION) {
    throw new WireError(`the desktop speaks version ${version}, this page version ${VERSION}`);
  }
  const viewer = from.u32();
  const codec = codecOf(from.u8());
  const encoder = from.str8();
  const config = from.str8();
  const size = picture(from);
  const flags = flagsOf(from, 3);
  return {
    kind: 'hello',
    viewer,
    codec,
    encoder,
    config,
    ...size,
    audio: has(flags, 1),
    clipboard: has(flags, 2),
    controls: has(flags, 4),
  };
}

function patch(from: Reader): DownOf<'patch'> {
  const sequence = from.u32();
  const captured = from.u64();
  const count = from.u8();
  const pieces = Array.from({ length: count }, () => {
    return { x: from.u16(), y: from.u16(), ...picture(from) };
  });
  const all = pieces.reduce((sum, { width, height }) => sum + width * height, 0);
  if (all < 1 || all > LARGEST_PATCH) throw new WireError(`a patch of ${all} pixels`);
  return { kind: 'patch', sequence, captured, pieces, qoi: pixels(from) };
}

function cursor(from: Reader): DownOf<'cursor'> {
  const hotspotX = from.u16();
  const hotspotY = from.u16();
  const width = from.u16();
  const height = from.u16();
  const png = from.rest();
  if (width === 0 && height === 0 && png.length === 0) return { kind: 'cursor' };
  if (png.length === 0) throw new WireError('a cursor without a picture');
  checkSide(width);
  checkSide(height);
  return { kind: 'cursor', image: { hotspotX, hotspotY, width, height, png } };
}

function present(from: Reader): Present {
  const viewer = from.u32();
  const flags = flagsOf(from, 4);
  return {
    viewer,
    controls: has(flags, 1),
    you: has(flags, 2),
    looksOn: has(flags, 4),
    pointing: has(flags, 8),
    x: from.u16(),
    y: from.u16(),
    name: from.str8(),
  };
}

function picture(from: Reader): { width: number; height: number } {
  return { width: checkSide(from.u16()), height: checkSide(from.u16()) };
}

function checkSide(side: number): number {
  if (side < 1 || side > LARGEST_SIDE) throw new WireError(`a side of ${side} pixels`);
  return side;
}

function codecOf(number: number): Codec {
  const codec = CODECS[number];
  if (codec === undefined) throw new WireError(`no codec has the number ${number}`);
  return codec;
}

/** Those of which so many are known. */
function flagsOf(from: Reader, known: number): number {
  const flags = from.u8();
  if (flags >> known !== 0) throw new WireError(`a flag that nobody knows in ${flags}`);
  return flags;
}

function noticeOf(code: number): number {
  if (code > LAST_NOTICE) throw new WireError(`no notice has the code ${code}`);
  return code;
}

function pixels(from: Reader): Uint8Array<ArrayBuffer> {
  const rest = from.rest();
  if (rest.length === 0) throw new WireError('a picture without pixels');
  return rest;
}

const has = (flags: number, flag: number): boolean => (flags & flag) !== 0;
