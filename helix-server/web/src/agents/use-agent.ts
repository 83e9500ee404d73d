import { notifications } from '@mantine/notifications';
import { useMemo } from 'react';

import { call, http } from '../api/client';
import { messageOf } from '../api/failure';
import type { AgentContent, PermissionAnswer } from '../api/types';

/** What people do with the agent of a session. What follows from it comes with the log. */
export interface Agent {
  /** Asks after what is in the queue, or, with `steer`, at once: the turn in flight stops. */
  prompt: (content: AgentContent[], steer: boolean, key: string) => Promise<boolean>;
  edit: (turn: string, content: AgentContent[]) => Promise<boolean>;
  move: (turn: string, position: number) => Promise<boolean>;
  /** Takes a prompt out of the queue. */
  remove: (turn: string) => Promise<boolean>;
  interrupt: () => Promise<boolean>;
  release: () => Promise<boolean>;
  keepWaiting: () => Promise<boolean>;
  answer: (thread: string, request: number, answer: PermissionAnswer) => Promise<boolean>;
  setMode: (mode: string) => Promise<boolean>;
  setModel: (model: string) => Promise<boolean>;
  stop: () => Promise<boolean>;
  restart: () => Promise<boolean>;
}

/** Each says whether it was done; why it was not, people are told. */
export function useAgent(id: string): Agent {
  return useMemo(() => {
    const path = { id };
    return {
      prompt: (content, steer, key) =>
        attempt('The prompt was not taken', () =>
          call(
            http.POST('/api/v1/sessions/{id}/prompts', {
              params: { path },
              body: { content, steer, idempotency_key: key },
            }),
          ),
        ),
      edit: (turn, content) =>
        attempt('The prompt was not changed', () =>
          call(
            http.PUT('/api/v1/sessions/{id}/prompts/{turn}', {
              params: { path: { id, turn } },
              body: { content },
            }),
          ),
        ),
      move: (turn, position) =>
        attempt('The prompt was not moved', () =>
          call(
            http.POST('/api/v1/sessions/{id}/prompts/{turn}/move', {
              params: { path: { id, turn } },
              body: { position },
            }),
          ),
        ),
      remove: (turn) =>
        attempt('The prompt was not removed', () =>
          call(
            http.DELETE('/api/v1/sessions/{id}/prompts/{turn}', { params: { path: { id, turn } } }),
          ),
        ),
      interrupt: () =>
        attempt('The agent was not stopped', () =>
          call(http.POST('/api/v1/sessions/{id}/interrupt', { params: { path } })),
        ),
      release: () =>
        attempt('The queue still waits', () =>
          call(http.POST('/api/v1/sessions/{id}/release', { params: { path } })),
        ),
      keepWaiting: () =>
        attempt('The count-down goes on', () =>
          call(http.POST('/api/v1/sessions/{id}/keep-waiting', { params: { path } })),
        ),
      answer: (thread, request, answer) =>
        attempt('The answer was not taken', () =>
          call(
            http.POST('/api/v1/sessions/{id}/permissions/{thread}/{request}', {
              params: { path: { id, thread, request } },
              body: answer,
            }),
          ),
        ),
      setMode: (mode) =>
        attempt('The mode was not changed', () =>
          call(http.PUT('/api/v1/sessions/{id}/mode', { params: { path }, body: { mode } })),
        ),
      setModel: (model) =>
        attempt('The model was not changed', () =>
          call(
            http.PUT('/api/v1/sessions/{id}/agent-model', { params: { path }, body: { model } }),
          ),
        ),
      stop: () =>
        attempt('The agent was not stopped', () =>
          call(http.POST('/api/v1/sessions/{id}/agent/stop', { params: { path } })),
        ),
      restart: () =>
        attempt('The agent was not restarted', () =>
          call(http.POST('/api/v1/sessions/{id}/agent/restart', { params: { path } })),
        ),
    };
  }, [id]);
}

async function attempt(failed: string, action: () => Promise<unknown>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    notifications.show({
      color: 'red',
      title: failed,
      message: messageOf(error),
      autoClose: 10_000,
    });
    return false;
  }
}
