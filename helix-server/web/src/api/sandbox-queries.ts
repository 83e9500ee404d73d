/** What is read of sandboxes and the machines that host them, and how it is kept. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query';

import { call, http } from './client';
import { asUser, filesQuery, type FileUser } from './inside';
import { keys } from './queries';

const PER_PAGE = 50;

/** Which sandboxes to list: one's own unless an administrator asks for `all`. */
export interface SandboxFilter {
  user?: 'all';
  host_id?: string;
}

/** Sandboxes, newest first. */
export const sandboxesQuery = (filter: SandboxFilter) =>
  infiniteQueryOptions({
    queryKey: [...keys.sandboxLists, filter.user ?? 'own', filter.host_id ?? 'any'],
    queryFn: ({ pageParam, signal }) =>
      call(
        http.GET('/api/v1/sandboxes', {
          params: {
            query: {
              limit: PER_PAGE,
              ...filter,
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

export const sandboxQuery = (id: string) =>
  queryOptions({
    queryKey: keys.sandbox(id),
    queryFn: ({ signal }) =>
      call(http.GET('/api/v1/sandboxes/{id}', { params: { path: { id } }, signal })),
  });

/** How what serves its desktop is; asked again with the sandbox. */
export const desktopStatusQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.sandbox(id), 'desktop'],
    queryFn: ({ signal }) =>
      call(http.GET('/api/v1/sandboxes/{id}/desktop/status', { params: { path: { id } }, signal })),
  });

export const sandboxLogQuery = (id: string) =>
  queryOptions({
    queryKey: ['sandbox-log', id],
    queryFn: ({ signal }) =>
      call(
        http.GET('/api/v1/sandboxes/{id}/logs', {
          params: { path: { id }, query: { tail: 1_000 } },
          signal,
        }),
      ),
    gcTime: 0,
  });

/** More snapshots than this are not listed. */
export const SNAPSHOTS_LISTED = 200;

/** The newest snapshots: one's own, or those of one sandbox, whosever it is. */
export const snapshotsQuery = (sandbox?: { id: string; user_id: string }) =>
  queryOptions({
    queryKey: [...keys.snapshots, sandbox?.id ?? 'all'],
    queryFn: ({ signal }) =>
      call(
        http.GET('/api/v1/snapshots', {
          params: {
            query: {
              limit: SNAPSHOTS_LISTED,
              ...(sandbox && { sandbox_id: sandbox.id, user: sandbox.user_id }),
            },
          },
          signal,
        }),
      ),
  });

/** What a new sandbox can be made of: hosts and their images, for everybody. */
export const sandboxChoicesQuery = queryOptions({
  queryKey: [...keys.sandboxHosts, 'choices'],
  queryFn: ({ signal }) => call(http.GET('/api/v1/sandbox-choices', { signal })),
});

export const sandboxHostsQuery = queryOptions({
  queryKey: keys.sandboxHosts,
  queryFn: ({ signal }) => call(http.GET('/api/v1/sandbox-hosts', { signal })),
});

export const sandboxHostQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.sandboxHosts, id],
    queryFn: ({ signal }) =>
      call(http.GET('/api/v1/sandbox-hosts/{id}', { params: { path: { id } }, signal })),
  });

/** What is read inside a sandbox. */
export const insideKeys = {
  terminals: (id: string) => ['terminals', id] as const,
  files: (id: string) => ['files', id] as const,
  ports: (id: string) => ['ports', id] as const,
};

export const terminalsQuery = (id: string) =>
  queryOptions({
    queryKey: insideKeys.terminals(id),
    queryFn: async ({ signal }) => {
      const params = { path: { id } };
      const { terminals } = await call(
        http.GET('/api/v1/sandboxes/{id}/terminals', { params, signal }),
      );
      return terminals;
    },
  });

export const portsQuery = (id: string) =>
  queryOptions({
    queryKey: insideKeys.ports(id),
    queryFn: async ({ signal }) => {
      const params = { path: { id } };
      const { ports } = await call(http.GET('/api/v1/sandboxes/{id}/ports', { params, signal }));
      return ports;
    },
  });

export const directoryQuery = (id: string, path: string, user: FileUser) =>
  queryOptions({
    queryKey: [...insideKeys.files(id), 'list', path, user],
    queryFn: ({ signal }) =>
      call(
        http.GET('/api/v1/sandboxes/{id}/files/list', {
          params: { path: { id }, query: { path, ...asUser(user) } },
          querySerializer: filesQuery,
          signal,
        }),
      ),
  });

export const fileStatQuery = (id: string, path: string, user: FileUser) =>
  queryOptions({
    queryKey: [...insideKeys.files(id), 'stat', path, user],
    queryFn: ({ signal }) =>
      call(
        http.GET('/api/v1/sandboxes/{id}/files/stat', {
          params: { path: { id }, query: { path, ...asUser(user) } },
          querySerializer: filesQuery,
          signal,
        }),
      ),
  });
