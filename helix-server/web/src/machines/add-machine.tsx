import {
  Alert,
  Button,
  Group,
  List,
  Modal,
  NumberInput,
  Select,
  Stack,
  Text,
  TextInput,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';

import { call, http } from '../api/client';
import { keys } from '../api/queries';
import { nameRule } from '../auth/rules';
import { CopyBlock } from '../components/copy';
import { FormError } from '../components/states';
import type { MachineRole } from '../api/types';
import { MACHINES } from './machines';

const HOUR = 3_600_000;

const LIFETIMES = [
  { value: String(HOUR), label: 'One hour' },
  { value: String(24 * HOUR), label: 'One day' },
  { value: String(7 * 24 * HOUR), label: 'One week' },
  { value: String(30 * 24 * HOUR), label: '30 days' },
];

interface Props {
  kind: MachineRole;
  opened: boolean;
  onClose: () => void;
}

/** Makes a join token and shows the command that uses it. */
export function AddMachine({ kind, opened, onClose }: Props) {
  const { noun, add, needs, joinCommand } = MACHINES[kind];
  const client = useQueryClient();
  const form = useForm({
    initialValues: { name: 'New machines', uses: 1, lifetime: String(24 * HOUR) },
    validate: { name: nameRule },
  });
  const create = useMutation({
    mutationFn: ({ name, uses, lifetime }: typeof form.values) =>
      call(
        http.POST('/api/v1/join-tokens', {
          body: {
            name: name.trim(),
            role: kind,
            max_uses: uses,
            expires_at_ms: Date.now() + Number(lifetime),
          },
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.joinTokens }),
  });
  const close = () => {
    onClose();
    create.reset();
    form.reset();
  };

  return (
    <Modal opened={opened} onClose={close} title={add} size="lg">
      {create.data ? (
        <Stack>
          <Text size="sm">Run this on the machine that is to join:</Text>
          <CopyBlock
            label="Join command"
            text={joinCommand(window.location.origin, create.data.secret)}
          />
          <Alert>
            The token is shown this once. The {noun} keeps a credential of its own after it joined,
            and appears here within seconds.
          </Alert>
          <List size="sm" c="dimmed" spacing={4}>
            <List.Item>
              The machine needs to reach {window.location.origin}; nothing needs to reach it.
            </List.Item>
            <List.Item>{needs}</List.Item>
          </List>
          <Group justify="flex-end">
            <Button onClick={close}>Done</Button>
          </Group>
        </Stack>
      ) : (
        <form
          onSubmit={form.onSubmit((values) => {
            create.mutate(values);
          })}
        >
          <Stack>
            <Text size="sm" c="dimmed">
              A machine joins with a token. Choose what the token allows.
            </Text>
            <TextInput
              label="What the token is for"
              data-autofocus
              {...form.getInputProps('name')}
            />
            <Group grow align="flex-start">
              <NumberInput
                label="Machines that may use it"
                min={1}
                max={10_000}
                allowDecimal={false}
                clampBehavior="strict"
                {...form.getInputProps('uses')}
              />
              <Select label="Works for" data={LIFETIMES} {...form.getInputProps('lifetime')} />
            </Group>
            <FormError error={create.error} />
            <Group justify="flex-end">
              <Button variant="default" onClick={close}>
                Cancel
              </Button>
              <Button type="submit" loading={create.isPending}>
                Create the command
              </Button>
            </Group>
          </Stack>
        </form>
      )}
    </Modal>
  );
}
