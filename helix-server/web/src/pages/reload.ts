/** What browsers and Vite say when a part of the app does not load. */
const NOT_LOADED =
  /dynamically imported module|Importing a module script failed|Unable to preload CSS/i;

/** A part that still does not load this soon after is not going to. */
const AGAIN_AFTER_MS = 30_000;

const KEY = 'helix-reloaded-at';

/**
 * Whether to load the whole app once more, and notes that it is: a part of it did not load,
 * since the network changed just then, or a newer version was installed meanwhile.
 */
export function mayReload(
  error: unknown,
  noted: Pick<Storage, 'getItem' | 'setItem'>,
  now: number,
): boolean {
  if (!(error instanceof Error) || !NOT_LOADED.test(error.message)) return false;
  const last = Number(noted.getItem(KEY) ?? 0);
  if (now - last < AGAIN_AFTER_MS) return false;
  noted.setItem(KEY, String(now));
  return true;
}
