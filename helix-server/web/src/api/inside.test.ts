import { expect, it } from 'vitest';

import { filesQuery, insideUrl } from './inside';

it('a path that is encoded is not encoded again', () => {
  const query = filesQuery({ path: '/a%20b/caf%FF+c', user: 'root', length: 5 });
  expect(query).toBe('path=/a%20b/caf%FF%2Bc&user=root&length=5');
});

it('an id is one part of an address', () => {
  expect(insideUrl('sbx_1/..', 'ports/1/')).toBe('/api/v1/sandboxes/sbx_1%2F../ports/1/');
});
