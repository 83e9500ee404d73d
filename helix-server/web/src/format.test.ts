import { describe, expect, it } from 'vitest';

import {
  count,
  dayGroup,
  formatBytes,
  formatDuration,
  formatRelative,
  formatRoundTrip,
} from './format';

describe('formatting', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [1024 ** 2 - 1, '1 MiB'],
    [24 * 1024 ** 3, '24 GiB'],
    [141.2 * 1024 ** 3, '141 GiB'],
    [-5, '0 B'],
  ])('writes %d bytes as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [0, '0 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [92_000, '1 min 32 s'],
    [3_600_000, '1 h'],
    [90_061_000, '1 d 1 h'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it.each([
    [40, '< 0.1 ms'],
    [420, '0.4 ms'],
    [9_960, '10 ms'],
    [12_300, '12 ms'],
    [999_600, '1.0 s'],
    [1_540_000, '1.5 s'],
  ])('writes a round trip of %d µs as %s', (micros, text) => {
    expect(formatRoundTrip(micros)).toBe(text);
  });

  it('says how long ago, or how soon', () => {
    const now = 10_000_000;
    expect(formatRelative(now - 3_000, now)).toBe('just now');
    expect(formatRelative(now - 185_000, now)).toBe('3 min ago');
    expect(formatRelative(now + 7_300_000, now)).toBe('in 2 h');
  });

  it('counts one and many', () => {
    expect(count(1, 'runner')).toBe('1 runner');
    expect(count(0, 'runner')).toBe('0 runners');
    expect(count(2, 'entry', 'entries')).toBe('2 entries');
  });

  it('groups by the day on the calendar, not by 24 hours', () => {
    const now = new Date(2026, 10, 21, 0, 30).getTime();
    expect(dayGroup(now - 20 * 60_000, now)).toBe('Today');
    expect(dayGroup(now - 40 * 60_000, now)).toBe('Yesterday');
    expect(dayGroup(now - 4 * 86_400_000, now)).toBe('Last 7 days');
    expect(dayGroup(now - 90 * 86_400_000, now)).toBe('Older');
  });
});
