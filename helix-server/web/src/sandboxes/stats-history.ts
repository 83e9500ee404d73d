/** What a sandbox used over the last measurements. */
import type { SandboxStats } from '../api/types';

/** How many measurements are kept. */
export const SAMPLES = 90;

/** The measurements with a new one at their end; the same ones if it is not new. */
export function appended(history: SandboxStats[], next: SandboxStats | undefined): SandboxStats[] {
  const last = history.at(-1);
  if (!next || (last && next.at_ms <= last.at_ms)) return history;
  return [...history, next].slice(-SAMPLES);
}

/** Bytes a second between each two measurements. */
export function rates(history: SandboxStats[]): { sent: number[]; received: number[] } {
  const between = (of: (stats: SandboxStats) => number) =>
    history.slice(1).map((stats, index) => {
      const before = history[index] ?? stats;
      const seconds = (stats.at_ms - before.at_ms) / 1_000;
      // Counters begin again when the sandbox is started again.
      return seconds > 0 ? Math.max(0, of(stats) - of(before)) / seconds : 0;
    });
  return {
    sent: between((stats) => stats.sent_bytes),
    received: between((stats) => stats.received_bytes),
  };
}
