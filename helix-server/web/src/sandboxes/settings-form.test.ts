import { expect, it } from 'vitest';

import type { Sandbox } from '../api/types';
import { NEVER } from './sandbox-form';
import {
  AS_IT_IS,
  changeOf,
  checkSettings,
  idleTimes,
  lifetimes,
  settingsOf,
} from './settings-form';

const GIB = 1024 ** 3;
const sandbox = {
  limits: {
    cpu_millis: 2_000,
    memory_bytes: 4 * GIB,
    disk_bytes: 10 * GIB + 1,
    pids: 64,
    open_files: 64,
  },
  idle_timeout_ms: 60_000,
} as Sandbox;
const as = settingsOf(sandbox);

it('what was left as it was is not sent', () => {
  expect(changeOf(sandbox, as)).toEqual({});
  expect(changeOf(sandbox, { ...as, memoryGib: 8, cores: 0.5 })).toEqual({
    limits: { cpu_millis: 500, memory_bytes: 8 * GIB },
  });
  expect(changeOf(sandbox, { ...as, idleTimeout: NEVER, ttl: '3600000' })).toEqual({
    idle_timeout_ms: null,
    ttl_ms: 3_600_000,
  });
  expect(changeOf(sandbox, { ...as, ttl: NEVER })).toEqual({ ttl_ms: null });
});

it('a disk that would shrink and a limit out of its range are named', () => {
  expect(checkSettings(sandbox, as)).toEqual({});
  const wrong = checkSettings(sandbox, { ...as, diskGib: 5, pids: 1, cores: '' });
  expect(Object.keys(wrong).sort()).toEqual(['cores', 'diskGib', 'pids']);
});

it('a time that is none of the usual ones can stay', () => {
  expect(idleTimes(sandbox)[0]).toEqual({ value: '60000', label: '1 min' });
  expect(idleTimes({ ...sandbox, idle_timeout_ms: null })[0]?.label).toBe('15 minutes');
  expect(lifetimes(sandbox)[0]).toEqual({ value: AS_IT_IS, label: 'Never, as it is' });
  expect(lifetimes({ ...sandbox, expires_at_ms: 1 }).at(-1)?.label).toBe('Never');
});
