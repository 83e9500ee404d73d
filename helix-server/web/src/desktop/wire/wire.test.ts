/** The vectors of every implementation of the protocol, and what must be refused. */
import { describe, expect, it } from 'vitest';

import { decodeDown, encodeUp, WireError, type Up } from '../wire';
import { bytes, DOWN, REFUSED, UP } from './vectors';

const hexOf = (data: Uint8Array): string =>
  [...data].map((byte) => byte.toString(16).padStart(2, '0')).join('');

describe('what a viewer says', () => {
  it.each(UP)('%s', (_, message, hex) => {
    expect(hexOf(encodeUp(message))).toBe(hex);
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

  it.each(REFUSED)('%s is refused', (_, hex) => {
    expect(() => decodeDown(bytes(hex))).toThrow(WireError);
  });

  it.each(DOWN)('%s, cut short anywhere, is refused or is a shorter rest', (_, hex, { kind }) => {
    const whole = bytes(hex);
    const endsInRest = ['frame', 'still', 'cursor', 'clipboard', 'audio', 'patch'].includes(kind);
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
