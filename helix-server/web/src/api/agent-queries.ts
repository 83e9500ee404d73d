/** What is read of the catalogue of agents, and how it is kept. */
import { queryOptions } from '@tanstack/react-query';

import { call, http } from './client';
import { keys } from './queries';

export const agentsQuery = queryOptions({
  queryKey: keys.agents,
  queryFn: ({ signal }) => call(http.GET('/api/v1/agents', { signal })),
});

/** An agent with how it runs: for administrators. */
export const agentQuery = (name: string) =>
  queryOptions({
    queryKey: [...keys.agents, name],
    queryFn: ({ signal }) =>
      call(http.GET('/api/v1/agents/{name}', { params: { path: { name } }, signal })),
  });
