/** What is read from the control plane, and how it is kept. */
import {
  infiniteQueryOptions,
  keepPreviousData,
  queryOptions,
  type QueryClient,
} from '@tanstack/react-query';

import { call, http } from './client';
import { ApiFailure } from './failure';
import type { SessionMessages, User } from './types';

export const keys = {
  me: ['me'] as const,
  authConfig: ['auth-config'] as const,
  version: ['version'] as const,
  status: ['status'] as const,
  sessions: ['sessions'] as const,
  session: (id: string) => ['session', id] as const,
  shares: (id: string) => ['shares', id] as const,
  messages: (id: string) => ['messages', id] as const,
  agentLog: (id: string) => ['agent-log', id] as const,
  agents: ['agents'] as const,
  models: ['models'] as const,
  providers: ['providers'] as const,
  runners: ['runners'] as const,
  joinTokens: ['join-tokens'] as const,
  queue: ['queue'] as const,
  sandboxes: ['sandboxes'] as const,
  sandboxLists: ['sandboxes', 'list'] as const,
  everybodysSandboxes: ['sandboxes', 'list', 'all'] as const,
  sandbox: (id: string) => ['sandboxes', 'one', id] as const,
  snapshots: ['snapshots'] as const,
  sandboxHosts: ['sandbox-hosts'] as const,
  apiKeys: ['api-keys'] as const,
};

/** Who is signed in; null for nobody. */
export const meQuery = queryOptions({
  queryKey: keys.me,
  queryFn: async ({ signal }): Promise<User | null> => {
    try {
      return await call(http.GET('/api/v1/users/me', { signal }));
    } catch (error) {
      if (error instanceof ApiFailure && error.status === 401) return null;
      throw error;
    }
  },
  staleTime: 5 * 60_000,
});

export const authConfigQuery = queryOptions({
  queryKey: keys.authConfig,
  queryFn: ({ signal }) => call(http.GET('/api/v1/auth/config', { signal })),
});

export const versionQuery = queryOptions({
  queryKey: keys.version,
  queryFn: ({ signal }) => call(http.GET('/api/v1/version', { signal })),
  staleTime: Infinity,
});

export const statusQuery = queryOptions({
  queryKey: keys.status,
  queryFn: ({ signal }) => call(http.GET('/api/v1/status', { signal })),
});

const SESSIONS_PER_PAGE = 40;

/** One's own sessions, or those that others share. */
export const sessionsQuery = (search: string, shared = false) =>
  infiniteQueryOptions({
    queryKey: [...keys.sessions, shared ? 'shared' : 'own', search],
    queryFn: ({ pageParam, signal }) =>
      call(
        http.GET('/api/v1/sessions', {
          params: {
            query: {
              limit: SESSIONS_PER_PAGE,
              ...(shared && { shared }),
              ...(search !== '' && { q: search }),
              ...(pageParam !== null && { cursor: pageParam }),
            },
          },
          signal,
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor ?? null,
    placeholderData: keepPreviousData,
  });

export const sessionQuery = (id: string) =>
  queryOptions({
    queryKey: keys.session(id),
    queryFn: ({ signal }) =>
      call(http.GET('/api/v1/sessions/{id}', { params: { path: { id } }, signal })),
  });

/** With whom a session of one's own is shared. */
export const sharesQuery = (id: string) =>
  queryOptions({
    queryKey: keys.shares(id),
    queryFn: ({ signal }) =>
      call(http.GET('/api/v1/sessions/{id}/shares', { params: { path: { id } }, signal })),
  });

/**
 * The turns of a session. Events are folded into this same entry as they come, so an answer that
 * was on its way meanwhile must not set it back.
 */
export const messagesQuery = (client: QueryClient, id: string) =>
  queryOptions({
    queryKey: keys.messages(id),
    queryFn: async ({ signal }): Promise<SessionMessages> => {
      const fetched = await call(
        http.GET('/api/v1/sessions/{id}/messages', { params: { path: { id } }, signal }),
      );
      const known = client.getQueryData<SessionMessages>(keys.messages(id));
      return known && known.seq > fetched.seq ? known : fetched;
    },
    structuralSharing: false,
  });

export const modelsQuery = queryOptions({
  queryKey: keys.models,
  queryFn: ({ signal }) => call(http.GET('/api/v1/models', { signal })),
});

export const providersQuery = queryOptions({
  queryKey: keys.providers,
  queryFn: ({ signal }) => call(http.GET('/api/v1/providers', { signal })),
});

export const runnersQuery = queryOptions({
  queryKey: keys.runners,
  queryFn: ({ signal }) => call(http.GET('/api/v1/runners', { signal })),
});

export const runnerQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.runners, id],
    queryFn: ({ signal }) =>
      call(http.GET('/api/v1/runners/{id}', { params: { path: { id } }, signal })),
  });

export const instanceLogQuery = (runnerId: string, instanceId: string) =>
  queryOptions({
    queryKey: ['instance-log', runnerId, instanceId],
    queryFn: ({ signal }) =>
      call(
        http.GET('/api/v1/runners/{id}/instances/{iid}/log', {
          params: { path: { id: runnerId, iid: instanceId }, query: { tail: 500 } },
          signal,
        }),
      ),
    gcTime: 0,
  });

export const joinTokensQuery = queryOptions({
  queryKey: keys.joinTokens,
  queryFn: ({ signal }) => call(http.GET('/api/v1/join-tokens', { signal })),
});

export const queueQuery = queryOptions({
  queryKey: keys.queue,
  queryFn: ({ signal }) => call(http.GET('/api/v1/queue', { signal })),
});

export const apiKeysQuery = queryOptions({
  queryKey: keys.apiKeys,
  queryFn: async ({ signal }) => {
    const { items } = await call(http.GET('/api/v1/api-keys', { signal }));
    return items;
  },
});
