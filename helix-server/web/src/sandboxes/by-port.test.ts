import { expect, test } from 'vitest';

import { byPort } from './by-port';

test('a port that listens by two sockets is one entry', () => {
  expect(
    byPort([
      { port: 80, address: '0.0.0.0', program: 'nginx' },
      { port: 80, address: '::', program: 'nginx' },
      { port: 5432, address: '127.0.0.1' },
    ]),
  ).toEqual([
    { port: 80, addresses: ['0.0.0.0', '::'], programs: ['nginx'] },
    { port: 5432, addresses: ['127.0.0.1'], programs: [] },
  ]);
});
