import { Alert, Button, Popover } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { IconCloudUpload } from '@tabler/icons-react';

import { call } from '../api/client';
import { messageOf } from '../api/failure';
import type { Workspace } from './changes-panel';
import { patient } from './patient';
import { workspaceKeys } from './queries';

/** Pushes the branch that is checked out. */
export function PushButton({ workspace, pushed }: { workspace: Workspace; pushed: boolean }) {
  const { sandboxId: id, directory } = workspace;
  const client = useQueryClient();
  const push = useMutation({
    mutationFn: () =>
      call(
        patient.POST('/api/v1/sandboxes/{id}/git/push', {
          params: { path: { id } },
          body: directory === '' ? {} : { directory },
        }),
      ),
    onSuccess: async ({ remote, branch, up_to_date: same }) => {
      const message = same ? `${remote} had it all` : `Pushed ${branch} to ${remote}`;
      notifications.show({ message });
      await client.invalidateQueries({ queryKey: workspaceKeys.at(id, directory) });
    },
  });
  return (
    <Popover
      opened={push.isError}
      onDismiss={push.reset}
      position="bottom-end"
      width={340}
      withArrow
    >
      <Popover.Target>
        <Button
          variant={pushed ? 'default' : 'filled'}
          leftSection={<IconCloudUpload size={16} />}
          loading={push.isPending}
          onClick={() => {
            push.mutate();
          }}
        >
          Push
        </Button>
      </Popover.Target>
      <Popover.Dropdown p={0}>
        <Alert
          color="red"
          role="alert"
          title="It was not pushed"
          style={{ overflowWrap: 'anywhere' }}
        >
          {messageOf(push.error)}
        </Alert>
      </Popover.Dropdown>
    </Popover>
  );
}
