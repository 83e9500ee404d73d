import { AssistantRuntimeProvider } from '@assistant-ui/react';
import { Center, Stack } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';

import { messagesQuery } from '../api/queries';
import type { Session, Turn } from '../api/types';
import { ErrorState, LoadingState } from '../components/states';
import { useSessionFeed } from '../sessions/use-session-feed';
import { ModelChoiceContext, useModelChoice } from './model-choice';
import { Thread } from './thread';
import { useChat } from './use-chat';

/** A chat that is not begun yet. */
export default function ChatPage() {
  return <Chat />;
}

/** A chat that there is. */
export function ExistingChat({ session }: { session: Session }) {
  const client = useQueryClient();
  const messages = useQuery(messagesQuery(client, session.id));
  useSessionFeed(session.id, messages.isSuccess);
  if (messages.data) return <Chat session={session} turns={messages.data.turns} />;
  if (messages.isPending) return <LoadingState label="Loading the chat" />;
  return (
    <Center h="100%" p="md">
      <Stack maw={460}>
        <ErrorState
          what="The chat could not be loaded"
          error={messages.error}
          onRetry={() => void messages.refetch()}
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
