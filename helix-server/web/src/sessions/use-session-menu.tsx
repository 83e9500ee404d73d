import { Menu } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { IconDoorExit, IconPencil, IconTrash, IconUserShare } from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';
import { useNavigate, useParams } from 'react-router';

import { call, http } from '../api/client';
import { messageOf } from '../api/failure';
import { keys } from '../api/queries';
import type { Session } from '../api/types';
import { DeleteSession, RenameSession } from '../shell/session-dialogs';
import { ShareDialog } from './share-dialog';

type Dialog = 'share' | 'rename' | 'delete';

/** What can be done with a whole session, for a menu, and the dialogs that it opens. */
export function useSessionMenu(session: Session): {
  items: ReactNode;
  dialog: ReactNode;
  open: (dialog: Dialog) => void;
} {
  const [opened, open] = useState<Dialog | null>(null);
  const leave = useLeave(session);
  const close = () => {
    open(null);
  };
  const items =
    session.shared != null ? (
      <Menu.Item
        leftSection={<IconDoorExit size={15} />}
        onClick={() => {
          leave.mutate();
        }}
      >
        Leave
      </Menu.Item>
    ) : (
      <>
        <Menu.Item
          leftSection={<IconUserShare size={15} />}
          onClick={() => {
            open('share');
          }}
        >
          Share
        </Menu.Item>
        <Menu.Item
          leftSection={<IconPencil size={15} />}
          onClick={() => {
            open('rename');
          }}
        >
          Rename
        </Menu.Item>
        <Menu.Item
          color="red"
          leftSection={<IconTrash size={15} />}
          onClick={() => {
            open('delete');
          }}
        >
          Delete
        </Menu.Item>
      </>
    );
  const dialog = (
    <>
      {opened === 'share' && <ShareDialog session={session} onClose={close} />}
      {opened === 'rename' && <RenameSession session={session} onClose={close} />}
      {opened === 'delete' && <DeleteSession session={session} onClose={close} />}
    </>
  );
  return { items, dialog, open };
}

function useLeave({ id }: Session) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const { sessionId } = useParams();
  return useMutation({
    mutationFn: () => call(http.POST('/api/v1/sessions/{id}/leave', { params: { path: { id } } })),
    onSuccess: async () => {
      if (sessionId === id) await navigate('/');
      await client.invalidateQueries({ queryKey: keys.sessions });
    },
    onError: (error) => {
      notifications.show({ color: 'red', title: 'Not left', message: messageOf(error) });
    },
  });
}
