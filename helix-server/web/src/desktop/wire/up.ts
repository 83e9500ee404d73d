/** Writes what a viewer says. */
import { WireError, Writer } from './bytes';
import {
  CODECS,
  LARGEST_CLIPBOARD,
  LARGEST_SIDE,
  LARGEST_UP,
  VERSION,
  type Up,
  type UpOf,
} from './messages';

const PHASES = ['down', 'move', 'up', 'cancelled'] as const;

/** One message. */
export function encodeUp(message: Up): Uint8Array<ArrayBuffer> {
  const bytes = write(message);
  const most = message.kind === 'clipboard' ? LARGEST_CLIPBOARD : LARGEST_UP;
  if (bytes.length > most) throw new WireError('the message is too large');
  return bytes;
}

function write(message: Up): Uint8Array<ArrayBuffer> {
  switch (message.kind) {
    case 'hello':
      return hello(message);
    case 'painted':
      return new Writer().u8(0x82).u32(message.sequence).u8(message.queue).finish();
    case 'key':
      return key(message);
    case 'text':
      return new Writer().u8(0x84).finish(new TextEncoder().encode(message.text));
    case 'move':
      return new Writer().u8(0x85).u16(message.x).u16(message.y).finish();
    case 'moveBy':
      return new Writer().u8(0x86).i16(message.dx).i16(message.dy).finish();
    case 'button':
      return new Writer().u8(0x87).u8(message.button).bool(message.down).finish();
    case 'wheel':
      return new Writer().u8(0x88).i32(message.dx).i32(message.dy).finish();
    case 'touch': {
      const head = new Writer().u8(0x89).u8(PHASES.indexOf(message.phase)).u8(message.finger);
      return head.u16(message.x).u16(message.y).finish();
    }
    case 'release':
      return new Writer().u8(0x8a).finish();
    case 'resize':
      return sized(new Writer().u8(0x8b), message).finish();
    case 'bitrate':
      return new Writer().u8(0x8c).u32(message.kbits).finish();
    case 'visible':
      return new Writer().u8(0x8d).bool(message.visible).finish();
    case 'keyframe':
      return new Writer().u8(0x8e).finish();
    case 'takeOver':
      return new Writer().u8(0x8f).finish();
    case 'clipboard':
      return new Writer().u8(0x90).str8(message.mime).finish(message.content);
    case 'audio':
      return new Writer().u8(0x91).bool(message.on).finish();
    case 'ping':
      return new Writer().u8(0x92).u64(message.token).finish();
  }
}

function hello(message: UpOf<'hello'>): Uint8Array<ArrayBuffer> {
  const to = new Writer()
    .u8(0x81)
    .u16(VERSION)
    .u8((message.looksOn ? 1 : 0) | (message.patches ? 2 : 0));
  sized(to, message).u8(message.codecs.length);
  for (const codec of message.codecs) to.u8(CODECS.indexOf(codec));
  return to.str8(message.name).finish();
}

function key({ code, keysym, down }: UpOf<'key'>): Uint8Array<ArrayBuffer> {
  if (code === 0 && keysym === 0) throw new WireError('a key without code and keysym');
  return new Writer().u8(0x83).u16(code).u32(keysym).bool(down).finish();
}

function sized(to: Writer, { width, height }: { width: number; height: number }): Writer {
  for (const side of [width, height]) {
    if (side < 1 || side > LARGEST_SIDE) throw new WireError(`a side of ${side} pixels`);
  }
  return to.u16(width).u16(height);
}
