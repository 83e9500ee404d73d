/** For tests: the vectors that every implementation of the protocol reads. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { CODECS, type Codec, type Down, type Up } from '../wire';

export const bytes = (hex: string): Uint8Array<ArrayBuffer> => {
  const pairs = hex.replaceAll(/\s/g, '').match(/../g) ?? [];
  return Uint8Array.from(pairs, (pair) => parseInt(pair, 16));
};

type Fields = Record<string, unknown>;

interface Vectors {
  messages: { name: string; direction: string; kind: string; fields: Fields; hex: string }[];
  refused: { name: string; direction: string; hex: string }[];
}

const PATH = resolve(import.meta.dirname, '../../../../../helix-proto/tests/desktop-vectors.json');
const VECTORS = JSON.parse(readFileSync(PATH, 'utf8')) as Vectors;

const number = (fields: Fields, name: string): number => fields[name] as number;
const text = (fields: Fields, name: string): string => fields[name] as string;
const hex = (fields: Fields, name: string) => bytes(text(fields, name));
const codec = (number: number): Codec => CODECS[number] ?? 'stills';
const flag = (value: number, bit: number): boolean => (value & bit) !== 0;
const picked = <Name extends string>(fields: Fields, ...names: Name[]) =>
  Object.fromEntries(names.map((name) => [name, fields[name]])) as Record<Name, number>;

const PHASES = ['down', 'move', 'up', 'cancelled'] as const;

const FROM_UP: Record<string, (fields: Fields) => Up> = {
  '0x81': (fields) => ({
    kind: 'hello',
    looksOn: flag(number(fields, 'flags'), 1),
    patches: flag(number(fields, 'flags'), 2),
    ...picked(fields, 'width', 'height'),
    codecs: (fields['codecs'] as number[]).map(codec),
    name: text(fields, 'name'),
  }),
  '0x82': (fields) => ({ kind: 'painted', ...picked(fields, 'sequence', 'queue') }),
  '0x83': (fields) => ({
    kind: 'key',
    ...picked(fields, 'code', 'keysym'),
    down: fields['down'] === 1,
  }),
  '0x84': (fields) => ({ kind: 'text', text: text(fields, 'text') }),
  '0x85': (fields) => ({ kind: 'move', ...picked(fields, 'x', 'y') }),
  '0x86': (fields) => ({ kind: 'moveBy', ...picked(fields, 'dx', 'dy') }),
  '0x87': (fields) => ({ kind: 'button', ...picked(fields, 'button'), down: fields['down'] === 1 }),
  '0x88': (fields) => ({ kind: 'wheel', ...picked(fields, 'dx', 'dy') }),
  '0x89': (fields) => ({
    kind: 'touch',
    phase: PHASES[number(fields, 'phase')] ?? 'down',
    ...picked(fields, 'finger', 'x', 'y'),
  }),
  '0x8a': () => ({ kind: 'release' }),
  '0x8b': (fields) => ({ kind: 'resize', ...picked(fields, 'width', 'height') }),
  '0x8c': (fields) => ({ kind: 'bitrate', ...picked(fields, 'kbits') }),
  '0x8d': (fields) => ({ kind: 'visible', visible: fields['visible'] === 1 }),
  '0x8e': () => ({ kind: 'keyframe' }),
  '0x8f': () => ({ kind: 'takeOver' }),
  '0x90': (fields) => ({
    kind: 'clipboard',
    mime: text(fields, 'mime'),
    content: hex(fields, 'content'),
  }),
  '0x91': (fields) => ({ kind: 'audio', on: fields['on'] === 1 }),
  '0x92': (fields) => ({ kind: 'ping', ...picked(fields, 'token') }),
};

const FROM_DOWN: Record<string, (fields: Fields) => Down> = {
  '0x01': (fields) => ({
    kind: 'hello',
    ...picked(fields, 'viewer', 'width', 'height'),
    codec: codec(number(fields, 'codec')),
    encoder: text(fields, 'encoder'),
    config: text(fields, 'config'),
    audio: flag(number(fields, 'flags'), 1),
    clipboard: flag(number(fields, 'flags'), 2),
    controls: flag(number(fields, 'flags'), 4),
  }),
  '0x02': (fields) => ({
    kind: 'frame',
    ...picked(fields, 'sequence', 'captured', 'width', 'height'),
    key: flag(number(fields, 'flags'), 1),
    recovery: flag(number(fields, 'flags'), 2),
    picture: hex(fields, 'picture'),
  }),
  '0x03': (fields) => ({
    kind: 'still',
    ...picked(fields, 'sequence', 'captured', 'width', 'height'),
    jpeg: hex(fields, 'jpeg'),
  }),
  '0x04': (fields) =>
    fields['width'] === 0
      ? { kind: 'cursor' }
      : {
          kind: 'cursor',
          image: {
            hotspotX: number(fields, 'hotspot_x'),
            hotspotY: number(fields, 'hotspot_y'),
            ...picked(fields, 'width', 'height'),
            png: hex(fields, 'png'),
          },
        },
  '0x05': (fields) => ({ kind: 'pointer', ...picked(fields, 'x', 'y') }),
  '0x06': (fields) => ({
    kind: 'clipboard',
    mime: text(fields, 'mime'),
    content: hex(fields, 'content'),
  }),
  '0x07': (fields) => ({
    kind: 'presence',
    viewers: (fields['viewers'] as Fields[]).map((viewer) => ({
      ...picked(viewer, 'viewer', 'x', 'y'),
      controls: flag(number(viewer, 'flags'), 1),
      you: flag(number(viewer, 'flags'), 2),
      looksOn: flag(number(viewer, 'flags'), 4),
      pointing: flag(number(viewer, 'flags'), 8),
      name: text(viewer, 'name'),
    })),
  }),
  '0x08': (fields) => ({
    kind: 'stats',
    ...picked(fields, 'frames', 'dropped', 'kbits', 'viewers'),
    encodeMicros: number(fields, 'encode_us'),
    captureMicros: number(fields, 'capture_us'),
    targetKbits: number(fields, 'target_kbits'),
  }),
  '0x09': (fields) => ({ kind: 'pong', ...picked(fields, 'token', 'now') }),
  '0x0a': (fields) => ({ kind: 'notice', ...picked(fields, 'code'), text: text(fields, 'text') }),
  '0x0b': (fields) => ({
    kind: 'audio',
    ...picked(fields, 'sequence', 'captured'),
    opus: hex(fields, 'opus'),
  }),
  '0x0c': (fields) => ({
    kind: 'patch',
    ...picked(fields, 'sequence', 'captured'),
    pieces: (fields['pieces'] as Fields[]).map((piece) =>
      picked(piece, 'x', 'y', 'width', 'height'),
    ),
    qoi: hex(fields, 'qoi'),
  }),
};

function made<T>(kind: string, fields: Fields, from: Record<string, (fields: Fields) => T>): T {
  const make = from[kind];
  if (!make) throw new Error(`a kind that is not known here: ${kind}`);
  return make(fields);
}

const of = (direction: string) =>
  VECTORS.messages.filter((message) => message.direction === direction);

/** Name, message, and how it is written. */
export const UP = of('up').map(({ name, kind, fields, hex }): [string, Up, string] => [
  name,
  made(kind, fields, FROM_UP),
  hex,
]);

/** Name, how it is written, and message. */
export const DOWN = of('down').map(({ name, kind, fields, hex }): [string, string, Down] => [
  name,
  hex,
  made(kind, fields, FROM_DOWN),
]);

/** What a viewer has to refuse: name, and how it is written. */
export const REFUSED = VECTORS.refused
  .filter(({ direction }) => direction === 'down')
  .map(({ name, hex }): [string, string] => [name, hex]);
