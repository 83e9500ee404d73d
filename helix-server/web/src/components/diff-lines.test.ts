import { describe, expect, it } from 'vitest';

import { diffLines } from './diff-lines';

const show = (before: string, after: string) =>
  diffLines(before, after)?.lines.map(({ sign, text, number }) => `${number ?? ''}${sign}${text}`);

describe('a diff of lines', () => {
  it('has what was added and removed, numbered', () => {
    expect(show('one\ntwo\nthree\n', 'one\n2\nthree\nfour\n')).toEqual([
      '1 one',
      '2-two',
      '2+2',
      '3 three',
      '4+four',
    ]);
    expect(diffLines('a\n', 'b\nc\n')).toMatchObject({ added: 2, removed: 1 });
  });

  it('shows a new file as added, and nothing where nothing changed', () => {
    expect(show('', 'hello')).toEqual(['1+hello']);
    expect(show('same\n', 'same\n')).toEqual([]);
  });

  it('leaves out what is far from a change', () => {
    const lines = Array.from({ length: 30 }, (_, index) => `line ${index}`);
    const before = lines.join('\n');
    const after = lines.with(20, 'changed').join('\n');
    const shown = show(before, after) ?? [];
    expect(shown[0]).toBe('…');
    expect(shown).toHaveLength(1 + 3 + 2 + 3);
  });

  it('gives up on what is too much', () => {
    const text = (word: string) =>
      Array.from({ length: 4_000 }, (_, at) => `${word} ${at}`).join('\n');
    expect(diffLines(text('a'), text('b'))).toBeNull();
  });
});
