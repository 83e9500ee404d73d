import { Button, Group, Progress, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { IconGitFork } from '@tabler/icons-react';
import { useState } from 'react';

import { FormError } from '../components/states';
import { cloneRepository, type CloneProgress } from './clone';
import { workspaceKeys } from './queries';

/** Clones a repository into a sandbox; `onDone` is told where it is. */
export function CloneForm({ id, onDone }: { id: string; onDone: (directory: string) => void }) {
  const client = useQueryClient();
  const [progress, setProgress] = useState<CloneProgress | null>(null);
  const form = useForm({
    initialValues: { url: '', branch: '' },
    validate: { url: (url) => (url.trim() === '' ? 'Enter an address' : null) },
  });
  const clone = useMutation({
    mutationFn: ({ url, branch }: typeof form.values) =>
      cloneRepository(id, { url: url.trim(), branch: branch.trim() }, setProgress),
    onSuccess: async ({ directory }) => {
      await client.invalidateQueries({ queryKey: workspaceKeys.all(id) });
      onDone(directory);
    },
    onSettled: () => {
      setProgress(null);
    },
  });
  return (
    <form
      noValidate
      onSubmit={form.onSubmit((values) => {
        clone.mutate(values);
      })}
    >
      <Stack gap="sm" ta="start">
        <TextInput
          label="Repository"
          placeholder="https://github.com/…"
          required
          disabled={clone.isPending}
          {...form.getInputProps('url')}
        />
        <TextInput
          label="Branch or tag"
          placeholder="The server’s choice"
          disabled={clone.isPending}
          {...form.getInputProps('branch')}
        />
        {clone.isPending && (
          <div role="status">
            <Text size="xs" c="dimmed" mb={4}>
              {progress ? progress.what : 'Asking the server'}
              {progress?.percent != null && `, ${String(progress.percent)} %`}
            </Text>
            <Progress
              value={progress?.percent ?? 100}
              animated
              aria-label="Progress of the clone"
            />
          </div>
        )}
        <FormError error={clone.error} />
        <Group justify="flex-end">
          <Button type="submit" loading={clone.isPending} leftSection={<IconGitFork size={16} />}>
            Clone
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
