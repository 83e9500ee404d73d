import { Button, Group, Modal, NumberInput, Select, SimpleGrid, Stack, Text } from '@mantine/core';
import { useForm } from '@mantine/form';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';

import { call, http } from '../api/client';
import { keys } from '../api/queries';
import type { Sandbox } from '../api/types';
import { FormError } from '../components/states';
import { RelativeTime } from '../components/time';
import {
  changeOf,
  checkSettings,
  idleTimes,
  lifetimes,
  settingsOf,
  type SettingsForm,
} from './settings-form';

/** Changes the most that a sandbox may use, and when it is stopped. */
export function SettingsDialog({ sandbox, onClose }: { sandbox: Sandbox; onClose: () => void }) {
  const client = useQueryClient();
  const form = useForm<SettingsForm>({
    initialValues: settingsOf(sandbox),
    validate: (values) => checkSettings(sandbox, values),
  });
  const save = useMutation({
    mutationFn: (values: SettingsForm) =>
      call(
        http.PATCH('/api/v1/sandboxes/{id}', {
          params: { path: { id: sandbox.id } },
          body: changeOf(sandbox, values),
        }),
      ),
    onSuccess: (changed) => {
      client.setQueryData(keys.sandbox(sandbox.id), changed);
      void client.invalidateQueries({ queryKey: keys.sandboxLists });
      notifications.show({ title: 'Changed', message: 'It holds from now on.' });
      onClose();
    },
  });
  const runs = sandbox.state === 'running' || sandbox.state === 'paused';
  const amount = { min: 0, hideControls: true, decimalScale: 3, allowNegative: false };
  const unchanged = Object.keys(changeOf(sandbox, form.values)).length === 0;
  return (
    <Modal opened onClose={onClose} title="Limits and lifetime" size="lg">
      <form
        noValidate
        onSubmit={form.onSubmit((values) => {
          save.mutate(values);
        })}
      >
        <Stack>
          <Text size="sm" c="dimmed">
            The most that it may use. Cores, memory and processes change at once, also while it
            runs.
          </Text>
          <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
            <NumberInput
              label="Cores"
              data-autofocus
              {...amount}
              {...form.getInputProps('cores')}
            />
            <NumberInput
              label="Memory"
              suffix=" GiB"
              {...amount}
              {...form.getInputProps('memoryGib')}
            />
            <NumberInput
              label="Processes"
              thousandSeparator=" "
              {...amount}
              allowDecimal={false}
              {...form.getInputProps('pids')}
            />
            <NumberInput
              label="Disk"
              suffix=" GiB"
              description={runs ? 'Stop the sandbox to give it more' : 'It only grows'}
              inputWrapperOrder={['label', 'input', 'description', 'error']}
              disabled={runs}
              {...amount}
              {...form.getInputProps('diskGib')}
            />
          </SimpleGrid>
          <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
            <Select
              label="Stop when unused for"
              allowDeselect={false}
              data={idleTimes(sandbox)}
              {...form.getInputProps('idleTimeout')}
            />
            <Select
              label="Stop after"
              allowDeselect={false}
              data={lifetimes(sandbox)}
              {...(sandbox.expires_at_ms != null && {
                description: (
                  <>
                    It stops <RelativeTime atMs={sandbox.expires_at_ms} />
                  </>
                ),
                inputWrapperOrder: ['label', 'input', 'description', 'error'] as const,
              })}
              {...form.getInputProps('ttl')}
            />
          </SimpleGrid>
          <FormError error={save.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending} disabled={unchanged}>
              Save
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
