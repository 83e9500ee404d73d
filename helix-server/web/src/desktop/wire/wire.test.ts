/** Vectors written by hand from `docs/desktop-protocol.md`, and what must be refused. */
import { describe, expect, it } from 'vitest';

import { decodeDown, encodeUp, WireError, type Down, type Up } from '../wire';

const bytes = (hex: string): Uint8Array<ArrayBuffer> => {
  const pairs = hex.replaceAll(/\s/g, '').match(/../g) ?? [];
  return Uint8Array.from(pairs, (pair) => parseInt(pair, 16));
};
const hexOf = (data: Uint8Array): string =>
  [...data].map((byte) => byte.toString(16).padStart(2, '0')).join('');

const UP: [string, Up, string][] = [
  [
    'hello',
    {
      kind: 'hello',
      looksOn: true,
      width: 1280,
      height: 720,
      codecs: ['h264', 'stills'],
      name: 'Zoë',
    },
    '81 0001 01 0500 02d0 02 01 00 04 5a6fc3ab',
  ],
  ['painted', { kind: 'painted', sequence: 258, queue: 3 }, '82 00000102 03'],
  ['a key by its place', { kind: 'key', code: 30, keysym: 0, down: true }, '83 001e 00000000 01'],
  [
    'a key by what it means',
    { kind: 'key', code: 0, keysym: 0x010020ac, down: false },
    '83 0000 010020ac 00',
  ],
  ['text', { kind: 'text', text: 'é' }, '84 c3a9'],
  ['move', { kind: 'move', x: 0, y: 65_535 }, '85 0000 ffff'],
  ['move by', { kind: 'moveBy', dx: -1, dy: 300 }, '86 ffff 012c'],
  ['button', { kind: 'button', button: 2, down: true }, '87 02 01'],
  ['wheel', { kind: 'wheel', dx: -120, dy: 7 }, '88 ffffff88 00000007'],
  ['touch', { kind: 'touch', phase: 'cancelled', finger: 1, x: 1, y: 2 }, '89 03 01 0001 0002'],
  ['release', { kind: 'release' }, '8a'],
  ['resize', { kind: 'resize', width: 1, height: 8192 }, '8b 0001 2000'],
  ['bitrate', { kind: 'bitrate', kbits: 4_000 }, '8c 00000fa0'],
  ['visible', { kind: 'visible', visible: false }, '8d 00'],
  ['keyframe', { kind: 'keyframe' }, '8e'],
  ['take over', { kind: 'takeOver' }, '8f'],
  [
    'clipboard',
    { kind: 'clipboard', mime: 'image/png', content: bytes('8950') },
    '90 09 696d6167652f706e67 8950',
  ],
  ['audio', { kind: 'audio', on: true }, '91 01'],
  ['ping', { kind: 'ping', token: 0x01_0000_0002 }, '92 0000000100000002'],
];

const DOWN: [string, string, Down][] = [
  [
    'hello',
    '01 0001 00000007 01 04 78323634 0b 617663312e343265303166 0500 02d0 06',
    {
      kind: 'hello',
      viewer: 7,
      codec: 'h264',
      encoder: 'x264',
      config: 'avc1.42e01f',
      width: 1280,
      height: 720,
      audio: false,
      clipboard: true,
      controls: true,
    },
  ],
  [
    'frame',
    '02 00000001 00000000000f4240 01 0500 02d0 00000001 67',
    {
      kind: 'frame',
      sequence: 1,
      captured: 1_000_000,
      key: true,
      recovery: false,
      width: 1280,
      height: 720,
      picture: bytes('0000000167'),
    },
  ],
  [
    'still',
    '03 00000002 0000000000000005 0001 0001 ffd8',
    { kind: 'still', sequence: 2, captured: 5, width: 1, height: 1, jpeg: bytes('ffd8') },
  ],
  [
    'cursor',
    '04 0001 0002 0018 0018 89',
    {
      kind: 'cursor',
      image: { hotspotX: 1, hotspotY: 2, width: 24, height: 24, png: bytes('89') },
    },
  ],
  ['a hidden cursor', '04 0000 0000 0000 0000', { kind: 'cursor' }],
  ['pointer', '05 8000 ffff', { kind: 'pointer', x: 32_768, y: 65_535 }],
  [
    'clipboard',
    '06 09 696d6167652f706e67 8950',
    { kind: 'clipboard', mime: 'image/png', content: bytes('8950') },
  ],
  [
    'presence',
    '07 02 00000007 03 0000 0000 03 416e61  00000008 0c 0001 0002 00',
    {
      kind: 'presence',
      viewers: [
        {
          viewer: 7,
          controls: true,
          you: true,
          looksOn: false,
          pointing: false,
          x: 0,
          y: 0,
          name: 'Ana',
        },
        {
          viewer: 8,
          controls: false,
          you: false,
          looksOn: true,
          pointing: true,
          x: 1,
          y: 2,
          name: '',
        },
      ],
    },
  ],
  [
    'stats',
    '08 00000064 00000002 00000dac 00000320 00000fa0 00001388 0003',
    {
      kind: 'stats',
      frames: 100,
      dropped: 2,
      encodeMicros: 3_500,
      captureMicros: 800,
      kbits: 4_000,
      targetKbits: 5_000,
      viewers: 3,
    },
  ],
  ['pong', '09 000000000000002a 00000000000f4240', { kind: 'pong', token: 42, now: 1_000_000 }],
  ['notice', '0a 03 0002 6e6f', { kind: 'notice', code: 3, text: 'no' }],
  [
    'audio',
    '0b 00000001 0000000000000002 fc',
    { kind: 'audio', sequence: 1, captured: 2, opus: bytes('fc') },
  ],
];

describe('what a viewer says', () => {
  it.each(UP)('%s', (_, message, hex) => {
    expect(hexOf(encodeUp(message))).toBe(hex.replaceAll(' ', ''));
  });

  it.each<[string, Up]>([
    ['a picture wider than the largest', { kind: 'resize', width: 8_193, height: 1 }],
    ['no height', { kind: 'resize', width: 1, height: 0 }],
    ['a place outside of the picture', { kind: 'move', x: 65_536, y: 0 }],
    ['a part of a pixel', { kind: 'moveBy', dx: 0.5, dy: 0 }],
    ['a leap that 16 bits do not hold', { kind: 'moveBy', dx: -32_769, dy: 0 }],
    ['a key that is none', { kind: 'key', code: 0, keysym: 0, down: true }],
    ['a long text', { kind: 'text', text: 'x'.repeat(65_536) }],
    ['a large clipboard', { kind: 'clipboard', mime: 'x', content: new Uint8Array(2 ** 24) }],
    ['a long name', { kind: 'clipboard', mime: 'x'.repeat(256), content: bytes('') }],
  ])('%s is not sent', (_, message) => {
    expect(() => encodeUp(message)).toThrow(WireError);
  });

  it('a text and a clipboard of just the largest size are sent', () => {
    expect(encodeUp({ kind: 'text', text: 'x'.repeat(65_535) })).toHaveLength(65_536);
    const content = new Uint8Array(2 ** 24 - 3);
    expect(encodeUp({ kind: 'clipboard', mime: 'x', content })).toHaveLength(2 ** 24);
  });
});

describe('what the desktop says', () => {
  it.each(DOWN)('%s', (_, hex, message) => {
    expect(decodeDown(bytes(hex))).toEqual(message);
  });

  it.each(DOWN)('%s, cut short anywhere, is refused or is a shorter rest', (name, hex) => {
    const whole = bytes(hex);
    const endsInRest = ['frame', 'still', 'cursor', 'clipboard', 'audio'].includes(name);
    for (let length = 0; length < whole.length; length += 1) {
      const cut = whole.slice(0, length);
      if (endsInRest) {
        try {
          decodeDown(cut);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      } else {
        expect(() => decodeDown(cut)).toThrow(WireError);
      }
    }
  });

  it.each([
    ['nothing', ''],
    ['a kind that nobody knows', '7f'],
    ['what only viewers say', '8a'],
    ['bytes after the last field', '05 0000 0000 00'],
    ['a picture of no width', '03 00000001 0000000000000000 0000 0001 ff'],
    ['a picture of 8,193 lines', '03 00000001 0000000000000000 0001 2001 ff'],
    ['a codec that nobody knows', '01 0001 00000001 05 00 00 0001 0001 00'],
    ['a text that is not UTF-8', '0a 00 0001 ff'],
    ['a time that no number holds', '09 ffffffffffffffff 0000000000000000'],
    ['a cursor of a size and no picture', '04 0000 0000 0001 0001'],
    ['a picture of a cursor of no size', '04 0000 0000 0000 0001 89'],
    ['more viewers than follow', '07 01'],
  ])('%s is refused', (_, hex) => {
    expect(() => decodeDown(bytes(hex))).toThrow(WireError);
  });

  it('another version is named, whatever follows it', () => {
    expect(() => decodeDown(bytes('01 0002 ffff'))).toThrow('version 2');
  });

  it('garbage is refused, and never anything but that', () => {
    let seed = 1;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed % below;
    };
    for (let round = 0; round < 5_000; round += 1) {
      const data = Uint8Array.from({ length: random(48) }, () => random(256));
      if (data.length > 0) data[0] = 1 + random(11);
      try {
        decodeDown(data);
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }
  });

  it('a message beyond the bound is refused', () => {
    const large = new Uint8Array(32 * 1024 * 1024 + 1);
    large[0] = 0x03;
    expect(() => decodeDown(large)).toThrow('too large');
  });
});
