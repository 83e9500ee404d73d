import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from 'react-router';

import { call, http } from '../../api/client';
import { messageOf } from '../../api/failure';
import { keys } from '../../api/queries';
import { randomKey } from '../../api/random-key';
import type { CreateSandboxRequest, Session } from '../../api/types';
import { toSession, type StartForm } from './start-form';

interface Start {
  form: StartForm;
  /** The sandbox to be made; null for one that runs. */
  sandbox: CreateSandboxRequest | null;
}

/** Begins the session, asks what was written, and goes there. */
export function useStart() {
  const client = useQueryClient();
  const navigate = useNavigate();
  return useMutation({
    mutationFn: ({ form, sandbox }: Start) =>
      call(http.POST('/api/v1/sessions', { body: toSession(form, sandbox) })),
    onSuccess: async (session, { form }) => {
      client.setQueryData(keys.session(session.id), session);
      void client.invalidateQueries({ queryKey: keys.sessions });
      void client.invalidateQueries({ queryKey: keys.sandboxLists });
      const draft = await ask(session, form.prompt.trim());
      await navigate(`/s/${session.id}`, { state: { draft } });
    },
  });
}

/** Asks; answers what is still to be asked, where that did not work. */
async function ask(session: Session, prompt: string): Promise<string> {
  if (prompt === '') return '';
  try {
    await call(
      http.POST('/api/v1/sessions/{id}/prompts', {
        params: { path: { id: session.id } },
        body: { content: [{ type: 'text', text: prompt }], idempotency_key: randomKey() },
      }),
    );
    return '';
  } catch (error) {
    const message = messageOf(error);
    notifications.show({ color: 'red', title: 'The prompt was not taken', message });
    return prompt;
  }
}
