import { skipToken, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';

import { keys } from '../api/queries';
import type { Session, SessionEvent } from '../api/types';
import { useLive } from '../live/live-provider';
import { foldLog } from './log/fold';
import { EMPTY_LOG, type AgentLog } from './log/view';

/** A page that cannot follow even from the beginning stops trying. */
const MOST_GAPS = 3;
/** How long events are gathered while the log is read from its beginning. */
const READING_MS = 50;

/**
 * How long events are gathered before they are shown: a painted frame at first, and longer while
 * the agent writes something long, since painting that costs as much as it is long.
 */
function gatherMs({ items }: AgentLog): number {
  const last = items.at(-1);
  if (last?.kind !== 'message' && last?.kind !== 'thought') return 16;
  const length = last.parts.reduce((sum, part) => {
    return sum + (part.type === 'text' ? part.text.length : 0);
  }, 0);
  return Math.min(16 + length / 10, 800);
}

export interface FollowedLog {
  log: AgentLog;
  /** Whether all that was there when the page was opened is in. */
  loaded: boolean;
  /** Whether the log cannot be followed. */
  broken: boolean;
}

/** Follows the log of a session with an agent while it is shown. */
export function useAgentLog(session: Session): FollowedLog {
  const client = useQueryClient();
  const { connection, onEvent } = useLive();
  const { id } = session;
  const [target] = useState(session.last_seq);
  const [broken, setBroken] = useState(false);
  // It is kept by itself and never fetched: whoever comes back goes on where they were.
  const { data: log = EMPTY_LOG } = useQuery({
    queryKey: keys.agentLog(id),
    queryFn: skipToken,
    initialData: EMPTY_LOG,
    structuralSharing: false,
  });

  useEffect(() => {
    const key = keys.agentLog(id);
    const cached = () => client.getQueryData<AgentLog>(key) ?? EMPTY_LOG;
    const after = () => cached().seq;
    let pending: SessionEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    let gaps = 0;

    const flush = () => {
      timer = undefined;
      const events = pending;
      pending = [];
      const folded = foldLog(cached(), events);
      if (folded.kind === 'folded') {
        client.setQueryData(key, folded.log);
        return;
      }
      gaps += 1;
      connection.unfollow(id);
      if (gaps > MOST_GAPS) {
        setBroken(true);
        return;
      }
      client.setQueryData(key, EMPTY_LOG);
      connection.follow(id, after);
    };
    const stopListening = onEvent((sessionId, event) => {
      if (sessionId !== id) return;
      pending.push(event);
      // Not an animation frame: those stop in a hidden page, and events would pile up.
      const reading = event.seq < target;
      timer ??= setTimeout(flush, reading ? READING_MS : gatherMs(cached()));
    });
    connection.follow(id, after);
    return () => {
      clearTimeout(timer);
      stopListening();
      connection.unfollow(id);
    };
  }, [client, connection, onEvent, id, target]);

  return { log, loaded: log.seq >= target, broken };
}
