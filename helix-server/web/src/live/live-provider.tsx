import { useQueryClient, type InfiniteData, type QueryClient } from '@tanstack/react-query';
import {
  createContext,
  use,
  useEffect,
  useState,
  useSyncExternalStore,
  type ReactNode,
} from 'react';

import { keys } from '../api/queries';
import type { Sandbox, ServerMessage, Session, SessionEvent } from '../api/types';
import { LiveConnection, type LiveState } from './connection';

type EventListener = (sessionId: string, event: SessionEvent) => void;

interface Live {
  connection: LiveConnection;
  /** Calls `listener` with events of followed sessions, until the returned function is called. */
  onEvent: (listener: EventListener) => () => void;
}

const LiveContext = createContext<Live | null>(null);

function createLive(client: QueryClient): Live {
  const listeners = new Set<EventListener>();
  const connection = new LiveConnection({
    connect: () => {
      const url = new URL('/api/v1/ws/user', window.location.href);
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
      return new WebSocket(url);
    },
    hidden: () => document.hidden,
    onMessage: (message) => {
      if (message.type === 'session_event') {
        for (const listener of listeners) listener(message.session_id, message.event);
        if (message.event.type === 'session_updated') {
          // Of a session that another shares, nothing else says so.
          void client.invalidateQueries({ queryKey: keys.session(message.session_id) });
        }
      } else {
        applyChange(client, message);
      }
    },
    onResumed: () => void client.invalidateQueries(),
    onRefused: () => void client.invalidateQueries({ queryKey: keys.me }),
  });
  return {
    connection,
    onEvent: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function applyChange(
  client: QueryClient,
  message: Exclude<ServerMessage, { type: 'session_event' }>,
): void {
  const refetch = (queryKey: readonly string[]) => void client.invalidateQueries({ queryKey });
  switch (message.type) {
    case 'session_changed':
      sessionChanged(client, message.session);
      break;
    case 'session_deleted':
      client.removeQueries({ queryKey: keys.session(message.session_id) });
      refetch(keys.sessions);
      break;
    case 'runners_changed':
      refetch(keys.runners);
      refetch(keys.models);
      refetch(keys.status);
      break;
    case 'models_changed':
      refetch(keys.models);
      break;
    case 'queue_changed':
      refetch(keys.queue);
      break;
    case 'sandbox_changed':
      sandboxChanged(client, message.sandbox);
      break;
    case 'sandbox_deleted':
      client.removeQueries({ queryKey: keys.sandbox(message.sandbox_id), type: 'inactive' });
      refetch(keys.sandboxes);
      break;
    case 'shares_changed':
      // What is seen of a session and its sandbox may be more or less now.
      void client.invalidateQueries();
      break;
    case 'snapshots_changed':
      refetch(keys.snapshots);
      break;
    case 'sandbox_hosts_changed':
      refetch(keys.sandboxHosts);
      refetch(keys.everybodysSandboxes);
      break;
    case 'error':
      if (message.session_id != null) {
        refetch(keys.session(message.session_id));
        refetch(keys.messages(message.session_id));
      }
      break;
  }
}

interface SessionsPage {
  items: Session[];
}

/** Changes a listed session where it stands; lists are fetched again only when it is new. */
function sessionChanged(client: QueryClient, session: Session): void {
  client.setQueryData(keys.session(session.id), session);
  const lists = client.getQueriesData<InfiniteData<SessionsPage>>({ queryKey: keys.sessions });
  for (const [key, list] of lists) {
    const first = list?.pages[0]?.items[0];
    const listed = list?.pages.some((page) => page.items.some((item) => item.id === session.id));
    if (!list || !listed || first?.id !== session.id) {
      // New here, or to be moved to the top.
      void client.invalidateQueries({ queryKey: key, exact: true });
      continue;
    }
    client.setQueryData(key, {
      ...list,
      pages: list.pages.map((page) => ({
        ...page,
        items: page.items.map((item) => (item.id === session.id ? session : item)),
      })),
    });
  }
}

interface SandboxesPage {
  items: Sandbox[];
}

/** Changes a sandbox where it is shown; lists are fetched again only when it is new. */
function sandboxChanged(client: QueryClient, sandbox: Sandbox): void {
  client.setQueryData(keys.sandbox(sandbox.id), sandbox);
  const lists = client.getQueriesData<InfiniteData<SandboxesPage>>({
    queryKey: keys.sandboxLists,
  });
  for (const [key, list] of lists) {
    const listed = list?.pages.some((page) => page.items.some((item) => item.id === sandbox.id));
    if (!list || !listed) {
      void client.invalidateQueries({ queryKey: key, exact: true });
      continue;
    }
    client.setQueryData(key, {
      ...list,
      pages: list.pages.map((page) => ({
        ...page,
        items: page.items.map((item) => (item.id === sandbox.id ? sandbox : item)),
      })),
    });
  }
}

/** Keeps the live-update connection open while it is mounted. */
export function LiveProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [live] = useState(() => createLive(client));

  useEffect(() => {
    const { connection } = live;
    const wake = () => {
      if (!document.hidden) connection.wake();
    };
    connection.start();
    document.addEventListener('visibilitychange', wake);
    window.addEventListener('online', wake);
    return () => {
      document.removeEventListener('visibilitychange', wake);
      window.removeEventListener('online', wake);
      connection.stop();
    };
  }, [live]);

  return <LiveContext value={live}>{children}</LiveContext>;
}

export function useLive(): Live {
  const live = use(LiveContext);
  if (!live) throw new Error('useLive needs a LiveProvider around it');
  return live;
}

export function useLiveState(): LiveState {
  const { connection } = useLive();
  return useSyncExternalStore(connection.watch, connection.state);
}
