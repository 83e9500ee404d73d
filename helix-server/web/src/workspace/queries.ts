/** What is read of a git repository in a sandbox. */
import { queryOptions } from '@tanstack/react-query';

import { call, http } from '../api/client';
import { ApiFailure } from '../api/failure';

export const workspaceKeys = {
  all: (id: string) => ['workspace', id] as const,
  at: (id: string, directory: string) => ['workspace', id, directory] as const,
};

const where = (directory: string) => (directory === '' ? {} : { directory });

/** What changed; null where there is no repository. */
export const statusQuery = (id: string, directory: string) =>
  queryOptions({
    queryKey: [...workspaceKeys.at(id, directory), 'status'],
    queryFn: async ({ signal }) => {
      const params = { path: { id }, query: where(directory) };
      try {
        return await call(http.GET('/api/v1/sandboxes/{id}/git/status', { params, signal }));
      } catch (error) {
        if (error instanceof ApiFailure && error.status === 404) return null;
        throw error;
      }
    },
  });

/** How a file differs. */
export const diffQuery = (id: string, directory: string, path: string, staged: boolean) =>
  queryOptions({
    queryKey: [...workspaceKeys.at(id, directory), 'diff', path, staged],
    queryFn: ({ signal }) => {
      const params = { path: { id }, query: { ...where(directory), path, staged } };
      return call(http.GET('/api/v1/sandboxes/{id}/git/diff', { params, signal }));
    },
    gcTime: 0,
  });

export const branchesQuery = (id: string, directory: string) =>
  queryOptions({
    queryKey: [...workspaceKeys.at(id, directory), 'branches'],
    queryFn: async ({ signal }) => {
      const params = { path: { id }, query: where(directory) };
      const { branches } = await call(
        http.GET('/api/v1/sandboxes/{id}/git/branches', { params, signal }),
      );
      return branches;
    },
  });
