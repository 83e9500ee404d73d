import {
  Accordion,
  Alert,
  Autocomplete,
  Group,
  NumberInput,
  Select,
  SimpleGrid,
  Stack,
  Switch,
  Text,
  Textarea,
  TextInput,
} from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';

import { sandboxChoicesQuery } from '../api/sandbox-queries';
import type { HostChoice } from '../api/types';
import { RadioCards } from '../components/radio-cards';
import { DESKTOP_CHOICES, NO_DESKTOP } from '../desktop/spec';
import { formatBytes } from '../format';
import { SecretChoice } from '../secrets/secret-choice';
import { EgressEditor } from './egress-editor';
import { checkRules } from './egress-rules';
import {
  ANY_HOST,
  describeSize,
  formatCores,
  IDLE_TIMES,
  offerOf,
  LIFETIMES,
  SIZES,
  type Offer,
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

/** What a new sandbox is to be. Rules say what is wrong with them once they are `checked`. */
export function SandboxFields({ form, checked }: { form: Form; checked: boolean }) {
  const choices = useQuery(sandboxChoicesQuery);
  const hosts = choices.data?.hosts ?? [];
  const offer = offerOf(hosts, form.values.host);
  return (
    <>
      <TextInput
        label="Name"
        placeholder="Made up if left empty"
        data-autofocus
        {...form.getInputProps('name')}
      />
      {choices.isSuccess && offer.hosts === 0 && <NoHost hosts={hosts} />}
      <RootFields form={form} offer={offer} />
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
        description={
          offer.docker || offer.hosts === 0
            ? 'A Docker daemon of its own, that reaches no more than the sandbox does'
            : 'Not offered here: Docker’s programs are not installed on the host'
        }
        disabled={!offer.docker && offer.hosts > 0 && !form.values.docker}
        {...form.getInputProps('docker', { type: 'checkbox' })}
      />
      <Select
        label="Desktop"
        description={
          offer.desktop || offer.hosts === 0
            ? 'To watch and use in the browser; its size can be changed while it runs'
            : 'Not offered here: the host’s page says what it lacks'
        }
        disabled={!offer.desktop && offer.hosts > 0 && form.values.desktop === NO_DESKTOP}
        data={DESKTOP_CHOICES}
        {...form.getInputProps('desktop')}
      />
      {form.values.desktop !== NO_DESKTOP && (
        <Switch
          label="Clipboard"
          description="What is copied in the desktop can be pasted outside of it, and the other way round"
          {...form.getInputProps('clipboard', { type: 'checkbox' })}
        />
      )}
      <SecretChoice
        value={form.values.secrets}
        onChange={(secrets) => {
          form.setFieldValue('secrets', secrets);
        }}
      />
      <MoreFields form={form} hosts={hosts} />
    </>
  );
}

/** Says why nothing can be made now. */
function NoHost({ hosts }: { hosts: HostChoice[] }) {
  return (
    <Alert color="yellow" title="No host takes sandboxes now">
      {hosts.length === 0
        ? 'There is no host yet. An administrator adds one on the hosts page.'
        : 'All hosts are away or take nothing new. Try again later, or ask an administrator.'}
    </Alert>
  );
}

function RootFields({ form, offer }: { form: Form; offer: Offer }) {
  const { images } = offer;
  const sizes = new Map(images.map(({ name, size_bytes }) => [name, size_bytes]));
  const onlyImages = offer.hosts > 0 && !offer.hostRootfs;
  return (
    <div>
      <RadioCards
        label="File system"
        {...(onlyImages && {
          description: 'The host does not offer its own system: choose an image',
        })}
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
              : 'No host has one yet. An administrator brings one with helix-sandbox image import'
          }
          placeholder="debian:12"
          required
          data={images.map(({ name }) => name)}
          limit={50}
          renderOption={({ option }) => (
            <Group justify="space-between" wrap="nowrap" style={{ flex: 1 }}>
              <Text size="sm" truncate>
                {option.value}
              </Text>
              <Text size="xs" c="dimmed" style={{ whiteSpace: 'nowrap' }}>
                {formatBytes(sizes.get(option.value) ?? 0)}
              </Text>
            </Group>
          )}
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

function MoreFields({ form, hosts }: { form: Form; hosts: HostChoice[] }) {
  const choices = hosts.map(({ id, name, available, ...has }) => ({
    value: id,
    label: available
      ? `${name} (${formatCores(has.cpu_millis)}, ${formatBytes(has.memory_bytes)} memory)`
      : `${name} (takes none now)`,
    disabled: !available,
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
