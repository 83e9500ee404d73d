import { Button, Center, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconMessageOff } from '@tabler/icons-react';
import { Link, useParams } from 'react-router';

import { ApiFailure } from '../api/failure';
import { sessionQuery } from '../api/queries';
import { loadable } from '../components/loadable';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { RightContext, rightIn } from './right';

const AgentPage = loadable(() => import('../agents/session/agent-page'), 'Loading the session');
const ExistingChat = loadable(async () => {
  const { ExistingChat: page } = await import('../chat/chat-page');
  return { default: page };
}, 'Loading the session');

/** A session: a chat with a model, or one with an agent in a sandbox. */
export default function SessionPage() {
  const { sessionId = '' } = useParams();
  const session = useQuery(sessionQuery(sessionId));
  const { data, error } = session;
  // It may have been there until now.
  if (error instanceof ApiFailure && (error.status === 404 || error.status === 400)) {
    return <Gone />;
  }
  if (data) {
    const right = rightIn(data);
    // With another right everything that is open of it is opened anew.
    const key = `${sessionId} ${right}`;
    return (
      <RightContext value={right}>
        {data.agent ? (
          <AgentPage key={key} session={data} agent={data.agent} />
        ) : (
          <ExistingChat key={key} session={data} />
        )}
      </RightContext>
    );
  }
  if (session.isPending) return <LoadingState label="Loading the session" />;
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
      title="There is no such session"
      action={
        <Button component={Link} to="/">
          New chat
        </Button>
      }
    >
      It was deleted, or it is not shared with you any more.
    </EmptyState>
  );
}
