import { expect, it, vi } from 'vitest';

import { loadable } from './loadable';

it('is loaded once', async () => {
  const load = vi.fn(() => Promise.resolve({ default: () => null }));
  const part = loadable(load, 'Loading it');
  await part.load();
  await part.load();
  expect(load).toHaveBeenCalledTimes(1);
});

it('that has failed stays failed: a second import would not wait for its style sheet', async () => {
  const load = vi
    .fn<() => Promise<{ default: () => null }>>()
    .mockRejectedValueOnce(new Error('Unable to preload CSS for /assets/part.css'))
    .mockResolvedValue({ default: () => null });
  const part = loadable(load, 'Loading it');
  await expect(part.load()).rejects.toThrow('Unable to preload CSS');
  await expect(part.load()).rejects.toThrow('Unable to preload CSS');
  expect(load).toHaveBeenCalledTimes(1);
});
