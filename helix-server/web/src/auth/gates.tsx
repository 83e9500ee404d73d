import { Button, Center, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { createContext, use } from 'react';
import { Navigate, Outlet, useLocation, useSearchParams } from 'react-router';

import { meQuery } from '../api/queries';
import type { User } from '../api/types';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { IconLock } from '@tabler/icons-react';

const UserContext = createContext<User | null>(null);

/** Who is signed in. Only below {@link RequireUser}. */
export function useUser(): User {
  const user = use(UserContext);
  if (!user) throw new Error('useUser needs a RequireUser around it');
  return user;
}

export const useIsAdmin = (): boolean => useUser().role === 'admin';

/** Shows what is inside to people who are signed in, and takes others to the sign-in page. */
export function RequireUser() {
  const me = useQuery(meQuery);
  const location = useLocation();
  if (me.data) {
    return (
      <UserContext value={me.data}>
        <Outlet />
      </UserContext>
    );
  }
  if (me.isPending) return <LoadingState label="Loading Helix" />;
  if (me.isError) {
    return (
      <Center h="100%" p="md">
        <Stack maw={460}>
          <ErrorState
            what="Helix did not answer"
            error={me.error}
            onRetry={() => void me.refetch()}
          />
        </Stack>
      </Center>
    );
  }
  const here = `${location.pathname}${location.search}`;
  const search = here === '/' ? '' : `?${new URLSearchParams({ next: here }).toString()}`;
  return <Navigate to={{ pathname: '/sign-in', search }} replace />;
}

/** Shows what is inside to people who are not signed in; others go where they wanted to. */
export function RequireStranger() {
  const me = useQuery(meQuery);
  const [params] = useSearchParams();
  if (me.data) return <Navigate to={ownPath(params.get('next'))} replace />;
  return <Outlet />;
}

/** A path on this site, whatever the query says: never someone else's page. */
export function ownPath(next: string | null): string {
  if (!next?.startsWith('/')) return '/';
  const url = new URL(next, window.location.origin);
  return url.origin === window.location.origin ? url.pathname + url.search : '/';
}

/** Shows what is inside to administrators only. The server checks each request as well. */
export function RequireAdmin() {
  if (useIsAdmin()) return <Outlet />;
  return (
    <EmptyState
      wholePage
      icon={IconLock}
      title="For administrators"
      action={
        <Button variant="default" component="a" href="/">
          Back to chat
        </Button>
      }
    >
      Your account may not see this page. Ask an administrator if you need something from it.
    </EmptyState>
  );
}
