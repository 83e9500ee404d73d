import { useMutation, useQueryClient, type QueryClient } from '@tanstack/react-query';

import { call, http } from '../api/client';
import { keys } from '../api/queries';
import type { RegisterRequest, User } from '../api/types';

/** Another account, another cache: nothing that one person read is left for the next. */
function changeUser(client: QueryClient, user: User | null): void {
  client.setQueryData(keys.me, user);
  client.removeQueries({ predicate: (query) => query.queryKey[0] !== keys.me[0] });
}

function useEntered() {
  const client = useQueryClient();
  return (user: User) => {
    changeUser(client, user);
  };
}

export function useSignIn() {
  return useMutation({
    mutationFn: (body: { email: string; password: string }) =>
      call(http.POST('/api/v1/auth/login', { body })),
    onSuccess: useEntered(),
  });
}

export function useRegister() {
  return useMutation({
    mutationFn: (body: RegisterRequest) => call(http.POST('/api/v1/auth/register', { body })),
    onSuccess: useEntered(),
  });
}

export function useRedeemLink() {
  return useMutation({
    mutationFn: (token: string) => call(http.POST('/api/v1/auth/link', { body: { token } })),
    onSuccess: useEntered(),
  });
}

export function useSignOut() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => call(http.POST('/api/v1/auth/logout')),
    onSuccess: () => {
      changeUser(client, null);
    },
  });
}
