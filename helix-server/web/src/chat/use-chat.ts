import {
  MessageNotSentError,
  useExternalStoreRuntime,
  type AppendMessage,
  type AssistantRuntime,
} from '@assistant-ui/react';
import { notifications } from '@mantine/notifications';
import { useQueryClient, type QueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { useNavigate } from 'react-router';

import { call, http } from '../api/client';
import { messageOf } from '../api/failure';
import { keys } from '../api/queries';
import { randomKey } from '../api/random-key';
import type { Session, SessionMessages, Turn } from '../api/types';
import { activeTurn, withBegunTurn } from '../sessions/fold';
import { toMessages, turnIdOf } from './convert';

const NO_TURNS: Turn[] = [];

interface ChatOptions {
  /** Absent for a chat that is not begun yet. */
  session: Session | undefined;
  turns: Turn[] | undefined;
  /** The model to ask; undefined for the server's choice. */
  model: string | undefined;
}

/** Joins the chat components to a session of the control plane. */
export function useChat({ session, turns = NO_TURNS, model }: ChatOptions): AssistantRuntime {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [sending, setSending] = useState<string | null>(null);
  const active = activeTurn(turns);
  const messages = useMemo(() => toMessages(turns, sending), [turns, sending]);

  const send = async (content: string) => {
    setSending(content);
    try {
      const target = session ?? (await createSession(client, model));
      const turn = await sendMessage(target, content, model);
      show(client, turn);
      if (!session) await navigate(`/s/${target.id}`, { replace: true });
    } finally {
      setSending(null);
    }
  };

  return useExternalStoreRuntime({
    messages,
    isRunning: active !== undefined || sending !== null,
    convertMessage: (message) => message,
    onNew: async (message) => {
      try {
        await send(textOf(message));
      } catch (error) {
        complain('The message was not sent', error);
        // Gives the text back to the composer.
        throw new MessageNotSentError(messageOf(error));
      }
    },
    onEdit: async (message) => {
      const turn = turnIdOf(message.sourceId);
      if (!session || !turn) return;
      const body = { content: textOf(message) };
      await attempt('The message was not changed', async () => {
        const params = { path: { id: session.id, turn } };
        const begun = http.POST('/api/v1/sessions/{id}/turns/{turn}/edit', { params, body });
        show(client, await call(begun), turn);
      });
    },
    onReload: async (parentId) => {
      const turn = turnIdOf(parentId);
      if (!session || !turn) return;
      await attempt('The question was not asked again', async () => {
        const params = { path: { id: session.id, turn } };
        const begun = http.POST('/api/v1/sessions/{id}/turns/{turn}/regenerate', { params });
        show(client, await call(begun), turn);
      });
    },
    onCancel: async () => {
      if (!session || !active) return;
      await attempt('The answer was not stopped', () =>
        call(
          http.POST('/api/v1/sessions/{id}/turns/{turn}/cancel', {
            params: { path: { id: session.id, turn: active.id } },
          }),
        ),
      );
    },
  });
}

async function createSession(client: QueryClient, model: string | undefined): Promise<Session> {
  const session = await call(
    http.POST('/api/v1/sessions', { body: model === undefined ? {} : { model } }),
  );
  client.setQueryData(keys.session(session.id), session);
  client.setQueryData<SessionMessages>(keys.messages(session.id), { seq: 0, turns: [] });
  void client.invalidateQueries({ queryKey: keys.sessions });
  return session;
}

function sendMessage(session: Session, content: string, model: string | undefined): Promise<Turn> {
  return call(
    http.POST('/api/v1/sessions/{id}/messages', {
      params: { path: { id: session.id } },
      body: {
        content,
        idempotency_key: randomKey(),
        ...(model !== undefined && model !== session.model && { model }),
      },
    }),
  );
}

/** Shows a turn at once; its events follow. */
function show(client: QueryClient, turn: Turn, replaces?: string): void {
  client.setQueryData<SessionMessages>(keys.messages(turn.session_id), (messages) =>
    messages ? withBegunTurn(messages, turn, replaces) : messages,
  );
}

async function attempt(failed: string, action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    complain(failed, error);
  }
}

function complain(title: string, error: unknown): void {
  notifications.show({ color: 'red', title, message: messageOf(error), autoClose: 10_000 });
}

function textOf(message: AppendMessage): string {
  return message.content.map((part) => (part.type === 'text' ? part.text : '')).join('');
}
