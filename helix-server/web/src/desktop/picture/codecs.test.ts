import { expect, it } from 'vitest';

import { decodableCodecs } from './codecs';

it('lists what the browser decodes, best first', async () => {
  const ask = ({ codec }: VideoDecoderConfig) =>
    codec.startsWith('hev1')
      ? Promise.reject(new TypeError('what is that'))
      : Promise.resolve({ supported: !codec.startsWith('vp09') });
  expect(await decodableCodecs(ask)).toEqual(['h264', 'av1']);
});

it('is empty where there are no WebCodecs', async () => {
  expect(await decodableCodecs(undefined)).toEqual([]);
});
