import { Button, Center, Stack } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { IconLinkOff } from '@tabler/icons-react';
import { useEffect, useRef } from 'react';
import { Link, useNavigate, useParams } from 'react-router';

import { call, http } from '../api/client';
import { ApiFailure } from '../api/failure';
import { keys } from '../api/queries';
import { EmptyState, ErrorState, LoadingState } from '../components/states';

/** Takes a link to a session of somebody else's, and goes there. */
export default function TakePage() {
  const { token = '' } = useParams();
  const client = useQueryClient();
  const navigate = useNavigate();
  const begun = useRef(false);
  const { mutate, isError, error } = useMutation({
    mutationFn: () => call(http.POST('/api/v1/shares/take', { body: { token } })),
    onSuccess: async (session) => {
      client.setQueryData(keys.session(session.id), session);
      void client.invalidateQueries({ queryKey: keys.sessions });
      await navigate(`/s/${session.id}`, { replace: true });
    },
  });
  useEffect(() => {
    if (begun.current) return;
    begun.current = true;
    mutate();
  }, [mutate]);
  if (!isError) return <LoadingState label="Opening the shared session" />;
  if (error instanceof ApiFailure && error.status === 404) {
    return (
      <EmptyState
        wholePage
        icon={IconLinkOff}
        title="This link leads nowhere"
        action={
          <Button component={Link} to="/" variant="default">
            Back to chat
          </Button>
        }
      >
        It has ended, or was not copied whole. Ask whoever sent it for another one.
      </EmptyState>
    );
  }
  return (
    <Center h="100%" p="md">
      <Stack maw={460}>
        <ErrorState
          what="The session could not be opened"
          error={error}
          onRetry={() => {
            mutate();
          }}
        />
      </Stack>
    </Center>
  );
}
