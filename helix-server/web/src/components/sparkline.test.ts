import { expect, it } from 'vitest';

import { linePoints } from './sparkline';

it('a line ends at the right, whatever is known', () => {
  expect(linePoints([0, 100], 2, 100)).toBe('0.0,46.0 240.0,2.0');
  expect(linePoints([50], 10, 100)).toBe('240.0,24.0');
});

it('a line stays inside its frame', () => {
  expect(linePoints([-5, 500], 2, 100)).toBe('0.0,46.0 240.0,2.0');
  expect(linePoints([1, 2], 2, 0)).toBe('0.0,46.0 240.0,46.0');
});
