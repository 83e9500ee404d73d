import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';

import { keys } from '../api/queries';
import type { SessionEvent, SessionMessages } from '../api/types';
import { useLive } from '../live/live-provider';
import { foldEvents } from './fold';

/**
 * How long events are gathered before they are shown: a painted frame at first. Painting an
 * answer costs as much as it is long, so a long one is painted less often, and the page stays
 * quick to the hand that wants to stop it.
 */
function gatherMs(turns: SessionMessages['turns']): number {
  const length = turns.at(-1)?.assistant_content.length ?? 0;
  return Math.min(16 + length / 10, 800);
}

/**
 * Keeps the cached turns of a session up to date while it is shown: follows its events from the
 * last one known and folds them in, a few at a time.
 */
export function useSessionFeed(sessionId: string, loaded: boolean): void {
  const client = useQueryClient();
  const { connection, onEvent } = useLive();

  useEffect(() => {
    if (!loaded) return;
    const key = keys.messages(sessionId);
    const cached = () => client.getQueryData<SessionMessages>(key);
    const pending: SessionEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;

    const flush = () => {
      timer = undefined;
      const start = cached();
      const events = pending.splice(0);
      if (!start) return;
      const folded = foldEvents(sessionId, start, events);
      if (folded.kind === 'folded') {
        client.setQueryData(key, folded.messages);
      } else {
        void client.refetchQueries({ queryKey: key });
      }
    };
    const stopListening = onEvent((id, event) => {
      if (id !== sessionId) return;
      pending.push(event);
      // Not an animation frame: those stop in a hidden page, and events would pile up.
      timer ??= setTimeout(flush, gatherMs(cached()?.turns ?? []));
    });
    connection.follow(sessionId, () => cached()?.seq ?? 0);
    return () => {
      clearTimeout(timer);
      stopListening();
      connection.unfollow(sessionId);
    };
  }, [client, connection, onEvent, sessionId, loaded]);
}
