import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';

import { call, http } from '../api/client';
import { keys } from '../api/queries';
import type { Sandbox } from '../api/types';
import { NameDialog } from './name-dialog';

/** Keeps the files of a sandbox as they are now. */
export function TakeSnapshot({ sandbox, onClose }: { sandbox: Sandbox; onClose: () => void }) {
  const client = useQueryClient();
  const take = useMutation({
    mutationFn: (name: string) =>
      call(
        http.POST('/api/v1/sandboxes/{id}/snapshots', {
          params: { path: { id: sandbox.id } },
          body: name === '' ? {} : { name },
        }),
      ),
    onSuccess: async (snapshot) => {
      await client.invalidateQueries({ queryKey: keys.snapshots });
      notifications.show({ title: 'Snapshot taken', message: snapshot.name });
      onClose();
    },
  });
  return (
    <NameDialog
      title="Take a snapshot"
      action="Take it"
      busy={take.isPending}
      error={take.error}
      onSubmit={take.mutate}
      onClose={onClose}
    >
      Keeps the files of {sandbox.name} as they are now. A new sandbox can start with them, also
      when this one is gone.
    </NameDialog>
  );
}
