import { expect, test } from 'vitest';

import { choices } from './branches';

const branch = (name: string, more: { remote?: boolean; current?: boolean } = {}) => ({
  name,
  remote: false,
  current: false,
  commit: '01',
  committed_at_ms: 0,
  subject: '',
  ...more,
});

test('branches of a server are offered once, and only where one has none of that name', () => {
  const found = choices([
    branch('main', { current: true }),
    branch('origin/main', { remote: true }),
    branch('origin/feature/x', { remote: true }),
    branch('fork/feature/x', { remote: true }),
    branch('origin', { current: false }),
  ]);
  expect(found).toEqual([
    { name: 'main', remote: false, current: true },
    { name: 'origin', remote: false, current: false },
    { name: 'feature/x', remote: true, current: false },
  ]);
});
