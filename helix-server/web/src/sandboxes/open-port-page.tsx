import { Anchor, Box, Button, Center, Stack, VisuallyHidden } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { IconCookieOff } from '@tabler/icons-react';
import { useEffect, useRef } from 'react';
import { Link, useParams, useSearchParams } from 'react-router';

import { call, http } from '../api/client';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { cameBack } from './open-port';

/** The port sent the browser back here: it did not keep its cookie. */
class NotKept extends Error {}

/** Takes who is signed in to a port of a sandbox, which is a site of its own. */
export default function OpenPortPage() {
  return (
    <Box component="main" h="100%">
      <OpenPort />
    </Box>
  );
}

function OpenPort() {
  const { sandboxId = '', port = '' } = useParams();
  const [params] = useSearchParams();
  const begun = useRef(false);
  const { mutate, ...open } = useMutation({
    mutationFn: (by: 'itself' | 'hand') => {
      // A second time at once it would go on for ever.
      const again = cameBack(window.sessionStorage, `${sandboxId}:${port}`);
      if (again && by === 'itself') throw new NotKept();
      return call(
        http.POST('/api/v1/sandboxes/{id}/port-links', {
          params: { path: { id: sandboxId } },
          body: {
            port: Number(port),
            state: params.get('state') ?? '',
            path: params.get('path') ?? '/',
          },
        }),
      );
    },
    onSuccess: ({ url }) => {
      window.location.replace(url + window.location.hash);
    },
  });
  useEffect(() => {
    if (begun.current) return;
    begun.current = true;
    mutate('itself');
  }, [mutate]);
  const back = (
    <Anchor component={Link} to={`/sandboxes/${sandboxId}/ports`} size="sm">
      Back to the ports
    </Anchor>
  );
  const retry = () => {
    mutate('hand');
  };
  if (open.error instanceof NotKept) {
    return (
      <EmptyState
        wholePage
        icon={IconCookieOff}
        title="The port sent you back"
        action={
          <Stack align="center">
            <Button onClick={retry}>Try again</Button>
            {back}
          </Stack>
        }
      >
        Your browser did not keep the cookie that opens port {port}. Allow cookies for its address,
        then try again.
      </EmptyState>
    );
  }
  if (open.isError) {
    return (
      <Center h="100%" p="md">
        <Stack maw={460} align="flex-start">
          <VisuallyHidden component="h1">Port {port}</VisuallyHidden>
          <ErrorState
            what={`Port ${port} could not be opened`}
            error={open.error}
            onRetry={retry}
          />
          {back}
        </Stack>
      </Center>
    );
  }
  return <LoadingState label={`Opening port ${port}`} />;
}
