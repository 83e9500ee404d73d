import { expect, test, vi } from 'vitest';

import { cameBack } from './open-port';

test('a tab that is back at once was not let in, and one that is back later may be let in again', () => {
  vi.useFakeTimers();
  const kept = new Map<string, string>();
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
  };
  expect(cameBack(storage, 'sbx_1:8000')).toBe(false);
  expect(cameBack(storage, 'sbx_1:8001')).toBe(false);
  expect(cameBack(storage, 'sbx_1:8000')).toBe(true);
  vi.advanceTimersByTime(11_000);
  expect(cameBack(storage, 'sbx_1:8000')).toBe(false);
  vi.useRealTimers();
});
