import { describe, expect, it } from 'vitest';

import { Backoff } from './backoff';

describe('backoff', () => {
  it('doubles the bound up to the longest wait', () => {
    const backoff = new Backoff({ firstMs: 1_000, maxMs: 8_000, random: () => 1 });
    const waits = Array.from({ length: 6 }, () => backoff.next());
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
  });

  it('waits at least half of the bound, however the dice fall', () => {
    const backoff = new Backoff({ firstMs: 1_000, maxMs: 8_000, random: () => 0 });
    expect([backoff.next(), backoff.next(), backoff.next()]).toEqual([500, 1_000, 2_000]);
  });

  it('starts over only when the connection was proven useful', () => {
    const backoff = new Backoff({ firstMs: 1_000, maxMs: 8_000, random: () => 1 });
    backoff.next();
    backoff.next();
    backoff.proven();
    expect(backoff.next()).toBe(1_000);
  });

  it('stays finite after any number of attempts', () => {
    const backoff = new Backoff({ random: () => 1 });
    for (let attempt = 0; attempt < 5_000; attempt += 1) backoff.next();
    expect(backoff.next()).toBe(15_000);
  });
});
