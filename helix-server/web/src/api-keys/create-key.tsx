import {
  Alert,
  Button,
  Checkbox,
  Group,
  Modal,
  Select,
  Stack,
  Tabs,
  Text,
  TextInput,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';

import { call, http } from '../api/client';
import { keys, modelsQuery } from '../api/queries';
import type { Scope } from '../api/types';
import { useIsAdmin } from '../auth/gates';
import { nameRule } from '../auth/rules';
import { CopyBlock } from '../components/copy';
import { FormError } from '../components/states';
import { SCOPES } from './scopes';

const DAY = 24 * 3_600_000;

const LIFETIMES = [
  { value: 'never', label: 'Until it is revoked' },
  { value: String(7 * DAY), label: '7 days' },
  { value: String(30 * DAY), label: '30 days' },
  { value: String(90 * DAY), label: '90 days' },
  { value: String(365 * DAY), label: 'One year' },
];

export function CreateKey({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const client = useQueryClient();
  const admin = useIsAdmin();
  const form = useForm({
    initialValues: { name: '', scopes: ['inference'] as Scope[], lifetime: 'never' },
    validate: {
      name: nameRule,
      scopes: (scopes) => (scopes.length === 0 ? 'Choose at least one' : null),
    },
  });
  const create = useMutation({
    mutationFn: ({ name, scopes, lifetime }: typeof form.values) =>
      call(
        http.POST('/api/v1/api-keys', {
          body: {
            name: name.trim(),
            scopes,
            ...(lifetime !== 'never' && { expires_at_ms: Date.now() + Number(lifetime) }),
          },
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.apiKeys }),
  });
  const close = () => {
    onClose();
    create.reset();
    form.reset();
  };
  const offered = (Object.keys(SCOPES) as Scope[]).filter((scope) => admin || scope !== 'admin');

  return (
    <Modal
      opened={opened}
      onClose={close}
      title={create.data ? 'Your new key' : 'Create a key'}
      size="lg"
      closeOnClickOutside={!create.data}
    >
      {create.data ? (
        <Created secret={create.data.secret} onDone={close} />
      ) : (
        <form
          onSubmit={form.onSubmit((values) => {
            create.mutate(values);
          })}
        >
          <Stack>
            <TextInput
              label="Name"
              placeholder="What uses it, such as my-editor"
              data-autofocus
              required
              {...form.getInputProps('name')}
            />
            <Checkbox.Group label="What it may do" {...form.getInputProps('scopes')}>
              <Stack gap="xs" mt={6}>
                {offered.map((scope) => (
                  <Checkbox
                    key={scope}
                    value={scope}
                    label={SCOPES[scope].label}
                    description={SCOPES[scope].description}
                  />
                ))}
              </Stack>
            </Checkbox.Group>
            <Select label="Works" data={LIFETIMES} {...form.getInputProps('lifetime')} />
            <FormError error={create.error} />
            <Group justify="flex-end">
              <Button variant="default" onClick={close}>
                Cancel
              </Button>
              <Button type="submit" loading={create.isPending}>
                Create
              </Button>
            </Group>
          </Stack>
        </form>
      )}
    </Modal>
  );
}

function Created({ secret, onDone }: { secret: string; onDone: () => void }) {
  const models = useQuery(modelsQuery);
  const model =
    models.data?.find((each) => each.default)?.name ?? models.data?.[0]?.name ?? 'MODEL';
  const base = `${window.location.origin}/v1`;
  const question = 'What is the capital of France?';
  const curl = `curl ${base}/chat/completions \\
  -H "Authorization: Bearer $HELIX_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "${model}", "messages": [{"role": "user", "content": "${question}"}]}'`;
  const python = `from openai import OpenAI

client = OpenAI(base_url="${base}", api_key="…")
answer = client.chat.completions.create(
    model="${model}",
    messages=[{"role": "user", "content": "${question}"}],
)
print(answer.choices[0].message.content)`;
  return (
    <Stack>
      <Alert color="yellow">Copy the key now: it is not shown again.</Alert>
      <CopyBlock label="The key" text={secret} />
      <Text size="sm" fw={550} mt="xs">
        Use it
      </Text>
      <Tabs defaultValue="curl">
        <Tabs.List mb="sm">
          <Tabs.Tab value="curl">curl</Tabs.Tab>
          <Tabs.Tab value="python">Python</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="curl">
          <CopyBlock label="Example with curl" text={curl} />
        </Tabs.Panel>
        <Tabs.Panel value="python">
          <CopyBlock label="Example in Python" text={python} />
        </Tabs.Panel>
      </Tabs>
      <Group justify="flex-end">
        <Button onClick={onDone}>I copied it</Button>
      </Group>
    </Stack>
  );
}
