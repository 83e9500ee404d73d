/** What is read of secrets, and how it is kept. */
import { queryOptions } from '@tanstack/react-query';

import { call, http } from '../api/client';

export const secretKeys = {
  all: ['secrets'] as const,
  given: (id: string) => ['secrets', 'given', id] as const,
};

/** One's own secrets, without their values. */
export const secretsQuery = queryOptions({
  queryKey: [...secretKeys.all, 'list'],
  queryFn: async ({ signal }) => {
    const { items } = await call(http.GET('/api/v1/secrets', { signal }));
    return items;
  },
});

/** Which of them a sandbox is given, by name. */
export const givenQuery = (id: string) =>
  queryOptions({
    queryKey: secretKeys.given(id),
    queryFn: async ({ signal }) => {
      const params = { path: { id } };
      const { names } = await call(http.GET('/api/v1/sandboxes/{id}/secrets', { params, signal }));
      return names;
    },
  });
