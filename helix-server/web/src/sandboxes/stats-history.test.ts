import { expect, it } from 'vitest';

import type { SandboxStats } from '../api/types';
import { appended, rates, SAMPLES } from './stats-history';

const at = (at_ms: number, sent_bytes = 0) =>
  ({ at_ms, sent_bytes, received_bytes: 0 }) as SandboxStats;

it('a measurement counts once, and old ones go', () => {
  const one = appended([], at(1));
  expect(one).toHaveLength(1);
  expect(appended(one, at(1))).toBe(one);
  expect(appended(one, undefined)).toBe(one);
  const many = Array.from({ length: SAMPLES }, (_, index) => at(index));
  const more = appended(many, at(SAMPLES));
  expect(more).toHaveLength(SAMPLES);
  expect(more[0]?.at_ms).toBe(1);
});

it('rates are per second, and never below nothing', () => {
  expect(rates([at(0), at(2_000, 4_096), at(3_000, 0)]).sent).toEqual([2_048, 0]);
  expect(rates([at(0)]).sent).toEqual([]);
});
