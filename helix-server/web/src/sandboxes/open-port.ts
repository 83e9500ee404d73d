/** Coming back this soon means that the port did not let the browser in. */
const SOON_MS = 10_000;

/** Whether this tab was here for the same port just now; notes that it was. */
export function cameBack(storage: Pick<Storage, 'getItem' | 'setItem'>, port: string): boolean {
  const key = `port-opened:${port}`;
  const now = Date.now();
  const before = Number(storage.getItem(key) ?? 0);
  storage.setItem(key, String(now));
  return now - before < SOON_MS;
}
