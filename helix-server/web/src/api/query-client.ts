import { MutationCache, QueryCache, QueryClient } from '@tanstack/react-query';

import { ApiFailure } from './failure';
import { keys } from './queries';

/** Reads are tried this often in all, when the failure may pass. */
const ATTEMPTS = 3;

function mayPass(error: Error): boolean {
  return error instanceof ApiFailure && error.retryable;
}

/** The cache of everything that was read. */
export function createQueryClient(): QueryClient {
  // A sign-in that ended anywhere ended everywhere; 503 while starting is not such a case.
  const noticeSignOut = (error: Error) => {
    if (error instanceof ApiFailure && error.status === 401) {
      client.setQueryData(keys.me, (me: unknown) => (me === undefined ? undefined : null));
    }
  };
  const client = new QueryClient({
    queryCache: new QueryCache({ onError: noticeSignOut }),
    mutationCache: new MutationCache({ onError: noticeSignOut }),
    defaultOptions: {
      // Where a browser says that it is offline, Helix may be on this very machine.
      mutations: { networkMode: 'always' },
      queries: {
        networkMode: 'always',
        staleTime: 15_000,
        retry: (failures, error) => mayPass(error) && failures < ATTEMPTS - 1,
        retryDelay: (failures, error) => {
          const told = error instanceof ApiFailure ? error.retryAfterMs : undefined;
          return Math.min(told ?? 500 * 2 ** failures * (1 + Math.random()), 10_000);
        },
      },
    },
  });
  return client;
}
