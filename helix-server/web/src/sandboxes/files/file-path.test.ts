import { describe, expect, it } from 'vitest';

import {
  crumbs,
  decodePath,
  encodePath,
  fileNameRule,
  folderOf,
  formatMode,
  inside,
  linkTarget,
  normalised,
} from './file-path';

describe('a path', () => {
  it('is shown as it was typed', () => {
    for (const path of ['/a b/ü', '/100%', '/a+b&c#d?', '/日本']) {
      expect(decodePath(encodePath(path))).toBe(path);
    }
  });

  it('is shown also where it is not UTF-8, and kept as it is', () => {
    expect(decodePath('/a%FFb')).toBe('/a\uFFFDb');
    expect(crumbs('/x/a%FFb')).toEqual([
      { name: '/', path: '/' },
      { name: 'x', path: '/x' },
      { name: 'a\uFFFDb', path: '/x/a%FFb' },
    ]);
  });

  it('has a folder', () => {
    expect(folderOf('/a/b')).toBe('/a');
    expect(folderOf('/a')).toBe('/');
    expect(folderOf('/')).toBe('/');
    expect(inside('/', 'a')).toBe('/a');
    expect(inside('/a', 'b')).toBe('/a/b');
  });

  it('does not lead above the root', () => {
    expect(normalised('/../../etc/./x//y/..')).toBe('/etc/x');
    expect(linkTarget('/usr/bin', '../lib/a b')).toBe('/usr/lib/a%20b');
    expect(linkTarget('/usr/bin', '/etc/x')).toBe('/etc/x');
  });
});

it('a name is one part of a path', () => {
  expect(fileNameRule('notes.txt')).toBeNull();
  for (const name of ['', ' ', 'a/b', '.', '..', 'ü'.repeat(128)]) {
    expect(fileNameRule(name)).not.toBeNull();
  }
});

it('permissions are shown as ls shows them', () => {
  expect(formatMode(0o755)).toBe('rwxr-xr-x');
  expect(formatMode(0o100640)).toBe('rw-r-----');
});
