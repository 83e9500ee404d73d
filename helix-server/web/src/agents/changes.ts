import type { AgentDiff } from '../api/types';
import type { AgentLog } from './log/view';

/** What became of a file. */
export interface FileChange {
  path: string;
  /** What it was before the first change; null if it was not there. */
  before: string | null;
  after: string;
  /** How often it was changed. */
  times: number;
  omitted: number;
}

/** The files that the agent says it changed, those changed last first. */
export function changesOf(items: AgentLog['items']): FileChange[] {
  const changes = new Map<string, FileChange>();
  for (const item of items) {
    // What failed, or was never done, changed nothing.
    if (item.kind !== 'tool' || item.status === 'failed' || item.status === 'unfinished') continue;
    for (const content of item.content) {
      if (content.type === 'diff') add(changes, content);
    }
  }
  return [...changes.values()].reverse();
}

function add(changes: Map<string, FileChange>, { path, before, after, omitted_bytes }: AgentDiff) {
  const known = changes.get(path);
  changes.delete(path);
  const omitted = omitted_bytes ?? 0;
  // Many agents tell only of the piece that changed. Pieces that do not follow one another
  // cannot be joined: the last one is shown.
  const follows = known?.after === before;
  changes.set(path, {
    path,
    before: known && follows ? known.before : (before ?? null),
    after,
    times: (known?.times ?? 0) + 1,
    omitted: (follows ? (known?.omitted ?? 0) : 0) + omitted,
  });
}
