import { describe, expect, it } from 'vitest';

import { ownPath } from './gates';

describe('where to go after signing in', () => {
  it.each([
    ['/s/ses_1?x=1', '/s/ses_1?x=1'],
    ['/', '/'],
    [null, '/'],
    ['https://evil.example/', '/'],
    ['//evil.example/', '/'],
    ['/\\evil.example/', '/'],
    ['javascript:alert(1)', '/'],
  ])('takes %s to %s', (next, path) => {
    expect(ownPath(next)).toBe(path);
  });
});
