import { Button, Group, Modal, Stack, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useNavigate, useParams } from 'react-router';

import { call, http } from '../api/client';
import { keys } from '../api/queries';
import type { Session } from '../api/types';
import { ConfirmDialog } from '../components/confirm';
import { FormError } from '../components/states';

interface Props {
  session: Session;
  onClose: () => void;
}

export function RenameSession({ session, onClose }: Props) {
  const client = useQueryClient();
  const [title, setTitle] = useState(session.title);
  const rename = useMutation({
    mutationFn: () =>
      call(
        http.PATCH('/api/v1/sessions/{id}', {
          params: { path: { id: session.id } },
          body: { title: title.trim() },
        }),
      ),
    onSuccess: (renamed) => {
      client.setQueryData(keys.session(session.id), renamed);
      void client.invalidateQueries({ queryKey: keys.sessions });
      onClose();
    },
  });
  return (
    <Modal
      opened
      onClose={onClose}
      title={session.agent ? 'Rename session' : 'Rename chat'}
      size="md"
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          rename.mutate();
        }}
      >
        <Stack>
          <TextInput
            label="Title"
            maxLength={200}
            value={title}
            data-autofocus
            onChange={(event) => {
              setTitle(event.currentTarget.value);
            }}
          />
          <FormError error={rename.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={rename.isPending} disabled={title.trim() === ''}>
              Rename
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

export function DeleteSession({ session, onClose }: Props) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const { sessionId } = useParams();
  const remove = useMutation({
    mutationFn: () =>
      call(http.DELETE('/api/v1/sessions/{id}', { params: { path: { id: session.id } } })),
    onSuccess: async () => {
      if (sessionId === session.id) await navigate('/');
      await client.invalidateQueries({ queryKey: keys.sessions });
      onClose();
    },
  });
  return (
    <ConfirmDialog
      opened
      title={session.agent ? 'Delete this session?' : 'Delete this chat?'}
      action="Delete"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => {
        remove.mutate();
      }}
      onClose={onClose}
    >
      “{session.title === '' ? 'New chat' : session.title}” and all its messages are deleted
      {session.agent?.owns_sandbox && ', and its sandbox with all files in it'}. This cannot be
      undone.
    </ConfirmDialog>
  );
}
