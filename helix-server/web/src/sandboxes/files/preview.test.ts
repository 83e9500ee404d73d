import { expect, it } from 'vitest';

import { asText, imageType } from './preview';

const bytes = (text: string) => new TextEncoder().encode(text);

it('text is shown, and nothing else as text', () => {
  expect(asText(bytes('grün\n'), true)).toBe('grün\n');
  expect(asText(bytes('a\0b'), true)).toBeUndefined();
  expect(asText(new Uint8Array([0x61, 0xff, 0x62]), true)).toBeUndefined();
});

it('text whose last character was cut is text still', () => {
  const cut = bytes('grü').slice(0, 3);
  expect(asText(cut, false)).toBe('gr');
  expect(asText(cut, true)).toBeUndefined();
});

it('a picture is known by its first bytes', () => {
  expect(imageType(new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d]))).toBe('image/png');
  expect(imageType(bytes('<svg/>'))).toBeUndefined();
});
