import { AssistantRuntimeProvider } from '@assistant-ui/react';
import { Button, Center, Stack } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { IconMessageOff } from '@tabler/icons-react';
import { Link, useParams } from 'react-router';

import { ApiFailure } from '../api/failure';
import { messagesQuery, sessionQuery } from '../api/queries';
import type { Session, Turn } from '../api/types';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { useSessionFeed } from '../sessions/use-session-feed';
import { ModelChoiceContext, useModelChoice } from './model-choice';
import { Thread } from './thread';
import { useChat } from './use-chat';

export default function ChatPage() {
  const { sessionId } = useParams();
  return sessionId ? <ExistingChat key={sessionId} id={sessionId} /> : <Chat key="new" />;
}

function ExistingChat({ id }: { id: string }) {
  const client = useQueryClient();
  const session = useQuery(sessionQuery(id));
  const messages = useQuery(messagesQuery(client, id));
  useSessionFeed(id, messages.isSuccess);

  if (session.data && messages.data) {
    return <Chat session={session.data} turns={messages.data.turns} />;
  }
  const error = session.error ?? messages.error;
  if (!error) return <LoadingState label="Loading the chat" />;
  const gone = error instanceof ApiFailure && (error.status === 404 || error.status === 400);
  if (gone) return <Gone />;
  return (
    <Center h="100%" p="md">
      <Stack maw={460}>
        <ErrorState
          what="The chat could not be loaded"
          error={error}
          onRetry={() => {
            void session.refetch();
            void messages.refetch();
          }}
        />
      </Stack>
    </Center>
  );
}

function Chat({ session, turns }: { session?: Session; turns?: Turn[] }) {
  const choice = useModelChoice(session);
  const runtime = useChat({ session, turns, model: choice.model });
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <title>{session?.title ? `${session.title} · Helix` : 'Helix'}</title>
      <ModelChoiceContext value={choice}>
        <Thread heading={session ? session.title || 'New chat' : 'New chat'} turns={turns} />
      </ModelChoiceContext>
    </AssistantRuntimeProvider>
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
