import { Button, Center, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconMessageOff } from '@tabler/icons-react';
import { Link, useParams } from 'react-router';

import { ApiFailure } from '../api/failure';
import { sessionQuery } from '../api/queries';
import { loadable } from '../components/loadable';
import { EmptyState, ErrorState, LoadingState } from '../components/states';

const AgentPage = loadable(() => import('../agents/session/agent-page'), 'Loading the session');
const ExistingChat = loadable(async () => {
  const { ExistingChat: page } = await import('../chat/chat-page');
  return { default: page };
}, 'Loading the session');

/** A session: a chat with a model, or one with an agent in a sandbox. */
export default function SessionPage() {
  const { sessionId = '' } = useParams();
  const session = useQuery(sessionQuery(sessionId));
  if (session.data) {
    return session.data.agent ? (
      <AgentPage key={sessionId} session={session.data} agent={session.data.agent} />
    ) : (
      <ExistingChat key={sessionId} session={session.data} />
    );
  }
  if (session.isPending) return <LoadingState label="Loading the session" />;
  const { error } = session;
  if (error instanceof ApiFailure && (error.status === 404 || error.status === 400)) {
    return <Gone />;
  }
  return (
    <Center h="100%" p="md">
      <Stack maw={460}>
        <ErrorState
          what="The session could not be loaded"
          error={error}
          onRetry={() => void session.refetch()}
        />
      </Stack>
    </Center>
  );
}

function Gone() {
  return (
    <EmptyState
      wholePage
      icon={IconMessageOff}
      title="This chat does not exist"
      action={
        <Button component={Link} to="/">
          New chat
        </Button>
      }
    >
      It was deleted, or it belongs to someone else.
    </EmptyState>
  );
}
