import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';

import { call, http } from '../api/client';
import { messageOf } from '../api/failure';
import { keys } from '../api/queries';
import type { Sandbox } from '../api/types';

export type Action = 'pause' | 'resume' | 'stop' | 'start';

const FAILED: Record<Action, string> = {
  pause: 'Not paused',
  resume: 'Not resumed',
  stop: 'Not stopped',
  start: 'Not started',
};

/** Pauses, resumes, stops and starts a sandbox. */
export function useLifecycle(sandbox: Sandbox): {
  act: (action: Action) => void;
  busy: boolean;
} {
  const client = useQueryClient();
  const change = useMutation({
    mutationFn: (action: Action) => {
      const params = { path: { id: sandbox.id } };
      switch (action) {
        case 'pause':
          return call(http.POST('/api/v1/sandboxes/{id}/pause', { params }));
        case 'resume':
          return call(http.POST('/api/v1/sandboxes/{id}/resume', { params }));
        case 'stop':
          return call(http.POST('/api/v1/sandboxes/{id}/stop', { params }));
        case 'start':
          return call(http.POST('/api/v1/sandboxes/{id}/start', { params }));
      }
    },
    onSuccess: (changed) => {
      client.setQueryData(keys.sandbox(sandbox.id), changed);
      return client.invalidateQueries({ queryKey: keys.sandboxes });
    },
    onError: (error, action) => {
      notifications.show({ color: 'red', title: FAILED[action], message: messageOf(error) });
    },
  });
  return { act: change.mutate, busy: change.isPending };
}
