import {
  Button,
  Group,
  Modal,
  PasswordInput,
  SegmentedControl,
  Stack,
  TextInput,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';

import { call, http } from '../api/client';
import type { Secret, SecretKind } from '../api/types';
import { FormError } from '../components/states';
import { secretKeys } from './queries';

const needed = (what: string) => (text: string) => (text.trim() === '' ? `Enter ${what}` : null);

interface Values {
  name: string;
  type: 'git' | 'environment';
  host: string;
  username: string;
  variable: string;
  value: string;
}

function initial(secret?: Secret): Values {
  const git = { host: 'github.com', username: 'x-access-token' };
  const values = { name: '', type: 'git' as const, variable: '', value: '', ...git };
  if (!secret) return values;
  return { ...values, name: secret.name, ...secret.kind };
}

function kindOf({ type, host, username, variable }: Values): SecretKind {
  return type === 'git'
    ? { type, host: host.trim(), username: username.trim() }
    : { type, variable: variable.trim() };
}

/** Adds a secret, or changes one. */
export function SecretDialog(props: { opened: boolean; secret?: Secret; onClose: () => void }) {
  const { opened, secret, onClose } = props;
  const client = useQueryClient();
  const form = useForm<Values>({
    initialValues: initial(secret),
    validate: {
      name: needed('a name'),
      host: (host, { type }) => (type === 'git' ? needed('a server')(host) : null),
      username: (name, { type }) => (type === 'git' ? needed('a user name')(name) : null),
      variable: (name, { type }) => (type === 'environment' ? needed('a name')(name) : null),
      value: (value) => (value.length < 8 ? 'Enter at least 8 characters' : null),
    },
  });
  const save = useMutation({
    mutationFn: (values: Values) =>
      call(
        http.PUT('/api/v1/secrets/{name}', {
          params: { path: { name: values.name.trim() } },
          body: { value: values.value, kind: kindOf(values) },
        }),
      ),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: secretKeys.all });
      onClose();
    },
  });
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={secret ? `Change ${secret.name}` : 'Add a secret'}
      size="md"
    >
      <form
        noValidate
        autoComplete="off"
        onSubmit={form.onSubmit((values) => {
          save.mutate(values);
        })}
      >
        <Stack>
          <SegmentedControl
            fullWidth
            aria-label="What it is for"
            data={[
              { value: 'git', label: 'A git server' },
              { value: 'environment', label: 'A variable' },
            ]}
            {...form.getInputProps('type')}
          />
          {!secret && (
            <TextInput
              label="Name"
              description="Letters, digits, and _ - ."
              placeholder="my-github"
              required
              data-autofocus
              {...form.getInputProps('name')}
            />
          )}
          {form.values.type === 'git' ? (
            <>
              <TextInput label="Server" required {...form.getInputProps('host')} />
              <TextInput
                label="User name"
                description="x-access-token for tokens of GitHub, oauth2 for those of GitLab"
                required
                {...form.getInputProps('username')}
              />
            </>
          ) : (
            <TextInput
              label="Variable"
              placeholder="ANTHROPIC_API_KEY"
              required
              {...form.getInputProps('variable')}
            />
          )}
          <PasswordInput
            label={form.values.type === 'git' ? 'Password or token' : 'Value'}
            description="It is not shown again."
            autoComplete="new-password"
            required
            {...form.getInputProps('value')}
          />
          <FormError error={save.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending}>
              {secret ? 'Change' : 'Add'}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
