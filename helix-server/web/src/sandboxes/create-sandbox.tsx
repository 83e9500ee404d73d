import {
  Accordion,
  Autocomplete,
  Button,
  Group,
  Modal,
  NumberInput,
  Select,
  SimpleGrid,
  Stack,
  Switch,
  Text,
  Textarea,
  TextInput,
} from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useNavigate } from 'react-router';

import { call, http } from '../api/client';
import { keys } from '../api/queries';
import { sandboxHostsQuery } from '../api/sandbox-queries';
import type { SandboxHost } from '../api/types';
import { useIsAdmin } from '../auth/gates';
import { RadioCards } from '../components/radio-cards';
import { FormError } from '../components/states';
import { EgressEditor } from './egress-editor';
import { checkRules } from './egress-rules';
import {
  ANY_HOST,
  checkForm,
  describeSize,
  EMPTY_FORM,
  IDLE_TIMES,
  imagesOf,
  LIFETIMES,
  SIZES,
  toRequest,
  type SandboxForm,
  type Size,
} from './sandbox-form';

type Form = UseFormReturnType<SandboxForm>;

const ROOTS = [
  {
    value: 'host' as const,
    label: 'The host’s system',
    description: 'Its programs, read-only below; what is written stays in the sandbox.',
  },
  {
    value: 'image' as const,
    label: 'An image',
    description: 'One that was imported on a host.',
  },
];

const SIZE_CARDS: { value: Size; label: string; description: string }[] = [
  ...(Object.keys(SIZES) as (keyof typeof SIZES)[]).map((value) => ({
    value,
    label: SIZES[value].label,
    description: describeSize(value),
  })),
  { value: 'custom', label: 'Custom', description: 'You say how much.' },
];

/** Asks what a new sandbox is to be, makes it, and goes there. */
export function CreateSandbox({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const admin = useIsAdmin();
  const hosts = useQuery({ ...sandboxHostsQuery, enabled: admin });
  const form = useForm<SandboxForm>({ initialValues: EMPTY_FORM, validate: checkForm });
  // Rules say what is wrong with them once somebody tried to go on.
  const [checked, setChecked] = useState(false);
  const create = useMutation({
    mutationFn: (values: SandboxForm) =>
      call(http.POST('/api/v1/sandboxes', { body: toRequest(values) })),
    onSuccess: async (sandbox) => {
      client.setQueryData(keys.sandbox(sandbox.id), sandbox);
      void client.invalidateQueries({ queryKey: keys.sandboxLists });
      await navigate(`/sandboxes/${sandbox.id}`);
    },
  });
  return (
    <Modal opened onClose={onClose} title="Create a sandbox" size="xl">
      <form
        noValidate
        onSubmit={form.onSubmit(
          (values) => {
            create.mutate(values);
          },
          () => {
            setChecked(true);
          },
        )}
      >
        <Stack gap="lg">
          <TextInput
            label="Name"
            placeholder="Made up if left empty"
            data-autofocus
            {...form.getInputProps('name')}
          />
          <RootFields form={form} hosts={hosts.data ?? []} />
          <SizeFields form={form} />
          <EgressEditor
            value={form.values.egress}
            onChange={(egress) => {
              form.setFieldValue('egress', egress);
            }}
            errors={checked ? checkRules(form.values.egress) : {}}
          />
          <Switch
            label="Docker"
            description="A Docker daemon of its own, that reaches no more than the sandbox does"
            {...form.getInputProps('docker', { type: 'checkbox' })}
          />
          <MoreFields form={form} hosts={hosts.data ?? []} />
          <FormError error={create.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={create.isPending}>
              Create
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function RootFields({ form, hosts }: { form: Form; hosts: SandboxHost[] }) {
  const images = imagesOf(hosts, form.values.host);
  return (
    <div>
      <RadioCards
        label="File system"
        options={ROOTS}
        value={form.values.rootfs}
        onChange={(rootfs) => {
          form.setFieldValue('rootfs', rootfs);
        }}
      />
      {form.values.rootfs === 'image' && (
        <Autocomplete
          mt="sm"
          label="Image"
          description={
            images.length > 0
              ? 'Its name, or its digest'
              : 'Its name, such as debian:12, or its digest; helix-sandbox image import brings one to a host'
          }
          placeholder="debian:12"
          required
          data={images}
          {...form.getInputProps('image')}
        />
      )}
    </div>
  );
}

function SizeFields({ form }: { form: Form }) {
  const amount = { min: 0, hideControls: true, decimalScale: 3, allowNegative: false };
  return (
    <div>
      <RadioCards
        label="Size"
        description="The most that it may use"
        options={SIZE_CARDS}
        value={form.values.size}
        onChange={(size) => {
          form.setFieldValue('size', size);
        }}
      />
      {form.values.size === 'custom' && (
        <SimpleGrid cols={{ base: 2, sm: 4 }} mt="sm" spacing="sm">
          <NumberInput label="Cores" {...amount} {...form.getInputProps('cores')} />
          <NumberInput
            label="Memory"
            suffix=" GiB"
            {...amount}
            {...form.getInputProps('memoryGib')}
          />
          <NumberInput label="Disk" suffix=" GiB" {...amount} {...form.getInputProps('diskGib')} />
          <NumberInput
            label="Processes"
            thousandSeparator=" "
            {...amount}
            allowDecimal={false}
            {...form.getInputProps('pids')}
          />
        </SimpleGrid>
      )}
    </div>
  );
}

function MoreFields({ form, hosts }: { form: Form; hosts: SandboxHost[] }) {
  const choices = hosts.map(({ id, name, state }) => ({
    value: id,
    label: state === 'online' ? name : `${name} (${state})`,
    disabled: state !== 'online',
  }));
  return (
    <Accordion variant="contained" chevronPosition="left">
      <Accordion.Item value="more">
        <Accordion.Control>
          <Text size="sm" fw={500}>
            Lifetime, host and variables
          </Text>
        </Accordion.Control>
        <Accordion.Panel>
          <Stack>
            <Group grow align="flex-start">
              <Select
                label="Stop when unused for"
                data={IDLE_TIMES}
                {...form.getInputProps('idleTimeout')}
              />
              <Select label="Stop after" data={LIFETIMES} {...form.getInputProps('ttl')} />
            </Group>
            <Text size="xs" c="dimmed" mt={-8}>
              A sandbox that was stopped keeps its files and can be started again.
            </Text>
            {hosts.length > 0 && (
              <Select
                label="Host"
                data={[{ value: ANY_HOST, label: 'The one with the most room' }, ...choices]}
                {...form.getInputProps('host')}
              />
            )}
            <Textarea
              label="Environment variables"
              description="For everything that runs in it, one NAME=value on each line"
              placeholder="LANG=C.UTF-8"
              minRows={2}
              maxRows={8}
              styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
              {...form.getInputProps('env')}
            />
          </Stack>
        </Accordion.Panel>
      </Accordion.Item>
    </Accordion>
  );
}
