import { describe, expect, it } from 'vitest';

import { mayReload } from './reload';

function storage() {
  const kept = new Map<string, string>();
  return {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => {
      kept.set(key, value);
    },
  };
}

describe('loading the app once more', () => {
  it.each([
    'Failed to fetch dynamically imported module: http://127.0.0.1/assets/shell.js',
    'error loading dynamically imported module: http://127.0.0.1/assets/shell.js',
    'Importing a module script failed.',
    'Unable to preload CSS for /assets/shell.css',
  ])('happens once when a part does not load: %s', (message) => {
    const noted = storage();
    const error = new TypeError(message);
    expect(mayReload(error, noted, 1_000_000)).toBe(true);
    expect(mayReload(error, noted, 1_029_999)).toBe(false);
    expect(mayReload(error, noted, 1_030_000)).toBe(true);
  });

  it('does not happen for what fails otherwise', () => {
    expect(mayReload(new Error('x is not a function'), storage(), 1_000_000)).toBe(false);
    expect(mayReload('dynamically imported module', storage(), 1_000_000)).toBe(false);
  });
});
