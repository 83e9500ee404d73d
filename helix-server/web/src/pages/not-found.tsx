import { Button, Center, Stack } from '@mantine/core';
import { IconMapQuestion } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import { Link, useRouteError } from 'react-router';

import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { mayReload } from './reload';

/** No page has this address. */
export function NotFound() {
  return (
    <EmptyState
      wholePage
      icon={IconMapQuestion}
      title="There is no such page"
      action={
        <Button variant="default" component={Link} to="/">
          Back to chat
        </Button>
      }
    >
      The link may be old, or mistyped.
    </EmptyState>
  );
}

/** A page failed to load or to render. */
export function Failed() {
  const error = useRouteError();
  const [reloads] = useState(() => mayReload(error, window.sessionStorage, Date.now()));
  useEffect(() => {
    if (reloads) window.location.reload();
  }, [reloads]);
  if (reloads) return <LoadingState label="Loading Helix" />;
  return (
    <Center h="100%" p="md">
      <Stack maw={460}>
        <ErrorState
          what="This page could not be shown"
          error={error}
          onRetry={() => {
            window.location.reload();
          }}
        />
      </Stack>
    </Center>
  );
}
