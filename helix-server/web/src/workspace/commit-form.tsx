import { Button, Group, Stack, Text, Textarea } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { IconGitCommit } from '@tabler/icons-react';
import { useState } from 'react';

import { call, http } from '../api/client';
import { FormError } from '../components/states';
import { count } from '../format';
import type { Workspace } from './changes-panel';
import { workspaceKeys } from './queries';

/** Commits what is chosen; `paths` is null for everything. */
export function CommitForm(props: { workspace: Workspace; count: number; paths: string[] | null }) {
  const { workspace, count: files, paths } = props;
  const { sandboxId: id, directory } = workspace;
  const client = useQueryClient();
  const [message, setMessage] = useState('');
  const commit = useMutation({
    mutationFn: () =>
      call(
        http.POST('/api/v1/sandboxes/{id}/git/commit', {
          params: { path: { id } },
          body: {
            message,
            ...(directory !== '' && { directory }),
            ...(paths && { paths }),
          },
        }),
      ),
    onSuccess: async (made) => {
      setMessage('');
      notifications.show({ message: `Committed as ${made.commit.slice(0, 8)}` });
      await client.invalidateQueries({ queryKey: workspaceKeys.at(id, directory) });
    },
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        commit.mutate();
      }}
    >
      <Stack gap="sm">
        <Textarea
          label="Message"
          placeholder="What this changes, and why"
          autosize
          minRows={2}
          maxRows={10}
          value={message}
          onChange={({ currentTarget }) => {
            setMessage(currentTarget.value);
          }}
        />
        <FormError error={commit.error} />
        <Group justify="space-between">
          <Text size="xs" c="dimmed">
            {files === 0 ? 'No file is chosen' : `${count(files, 'file')} chosen`}
          </Text>
          <Button
            type="submit"
            leftSection={<IconGitCommit size={16} />}
            loading={commit.isPending}
            disabled={files === 0 || message.trim() === ''}
          >
            Commit
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
