import { Tooltip } from '@mantine/core';
import { useSyncExternalStore } from 'react';

import { formatDateTime, formatRelative } from '../format';

const watchers = new Set<() => void>();
let nowMs = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  nowMs = Date.now();
  timer ??= setInterval(() => {
    nowMs = Date.now();
    for (const each of watchers) each();
  }, 1_000);
  return () => {
    watchers.delete(watcher);
    if (watchers.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** The time, to the second: one clock for the whole page. */
export function useNow(): number {
  return useSyncExternalStore(watch, () => nowMs);
}

/** `5 min ago`, with the date and time on hover. */
export function RelativeTime({ atMs }: { atMs: number }) {
  const now = useNow();
  return (
    <Tooltip label={formatDateTime(atMs)}>
      <time dateTime={new Date(atMs).toISOString()} style={{ whiteSpace: 'nowrap' }}>
        {formatRelative(atMs, now)}
      </time>
    </Tooltip>
  );
}
