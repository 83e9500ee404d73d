/** Sizes, times and counts as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1536` → `1.5 KiB`. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits).replace(/\.0$/, '')} ${UNITS[unit] ?? ''}`;
}

/** `420` → `0.4 ms`, `12300` → `12 ms`, `1500000` → `1.5 s`; from microseconds. */
export function formatRoundTrip(micros: number): string {
  const ms = micros / 1_000;
  if (ms < 0.1) return '< 0.1 ms';
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  return ms < 999.5 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** A length of time in its two largest units: `3 h 20 min`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  const pair = (big: number, bigUnit: string, small: number, smallUnit: string) =>
    small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`;
  if (days > 0) return pair(days, 'd', hours % 24, 'h');
  if (hours > 0) return pair(hours, 'h', minutes % 60, 'min');
  if (minutes > 0) return pair(minutes, 'min', seconds % 60, 's');
  return `${seconds} s`;
}

/** `5 min ago`, `in 2 h`, `just now`. */
export function formatRelative(atMs: number, nowMs: number): string {
  const past = nowMs - atMs;
  const distance = Math.abs(past);
  if (distance < 10_000) return past >= 0 ? 'just now' : 'in a moment';
  const [amount] = /^\d+ \w+/.exec(formatDuration(distance)) ?? ['0 s'];
  return past >= 0 ? `${amount} ago` : `in ${amount}`;
}

const DATE_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });

export const formatDateTime = (ms: number): string => DATE_TIME.format(ms);
export const formatDate = (ms: number): string => DATE.format(ms);

/** `1 runner`, `2 runners`. */
export function count(amount: number, one: string, many = `${one}s`): string {
  return `${amount.toLocaleString()} ${amount === 1 ? one : many}`;
}

/** The heading under which a session is listed. */
export function dayGroup(atMs: number, nowMs: number): string {
  const startOfToday = new Date(nowMs).setHours(0, 0, 0, 0);
  const day = 24 * 3_600_000;
  if (atMs >= startOfToday) return 'Today';
  if (atMs >= startOfToday - day) return 'Yesterday';
  if (atMs >= startOfToday - 7 * day) return 'Last 7 days';
  if (atMs >= startOfToday - 30 * day) return 'Last 30 days';
  return 'Older';
}
