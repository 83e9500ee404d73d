import {
  Accordion,
  Alert,
  Anchor,
  Button,
  Group,
  Select,
  SimpleGrid,
  Stack,
  Text,
  Textarea,
  TextInput,
} from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { IconRobot } from '@tabler/icons-react';
import { useState } from 'react';
import { Link, useSearchParams } from 'react-router';

import { agentsQuery } from '../../api/agent-queries';
import { modelsQuery, providersQuery } from '../../api/queries';
import { sandboxChoicesQuery, sandboxesQuery } from '../../api/sandbox-queries';
import type { CatalogueAgent, HostChoice, Sandbox } from '../../api/types';
import { useIsAdmin } from '../../auth/gates';
import { choicesOf } from '../../chat/model-choice';
import { Page } from '../../components/page';
import { RadioCards } from '../../components/radio-cards';
import { EmptyState, ErrorState, FormError, LoadingState } from '../../components/states';
import { DESKTOP_CHOICES, NO_DESKTOP } from '../../desktop/spec';
import { SandboxFields } from '../../sandboxes/sandbox-fields';
import {
  ANY_HOST,
  checkForm,
  EMPTY_FORM,
  offerOf,
  toRequest,
  type SandboxForm,
} from '../../sandboxes/sandbox-form';
import { usable } from '../../sandboxes/sandbox-notice';
import { agentAtFirst, remember, remembered } from './agent-choice';
import { checkStart, type StartForm } from './start-form';
import { useStart } from './use-start';

const WHERE = [
  {
    value: 'new' as const,
    label: 'A sandbox of its own',
    description: 'Made for this session, and deleted with it.',
  },
  {
    value: 'existing' as const,
    label: 'A sandbox that runs',
    description: 'One of yours; it stays when the session is deleted.',
  },
];

/** Asks which agent is to work where, and starts it. */
export default function NewSessionPage() {
  const agents = useQuery(agentsQuery);
  const choices = useQuery(sandboxChoicesQuery);
  const sandboxes = useInfiniteQuery(sandboxesQuery({}));
  const models = useQuery(modelsQuery);
  const providers = useQuery(providersQuery);
  const all = [agents, choices, sandboxes, models, providers];
  const pending = all.some(({ isPending }) => isPending);
  const failed = all.find(({ isError, data }) => isError && !data);
  return (
    <Page
      title="New session with an agent"
      description="An agent works by itself in a sandbox: its own computer, with files, programs and, if you like, a desktop. You watch, steer it, or come back later."
    >
      {failed ? (
        <ErrorState
          what="The form could not be loaded"
          error={failed.error}
          onRetry={() => void failed.refetch()}
        />
      ) : pending ? (
        <LoadingState label="Loading the agents" />
      ) : (
        <Start
          agents={(agents.data ?? []).filter(({ enabled }) => enabled)}
          models={choicesOf(models.data ?? [], providers.data ?? []).length > 0}
          hosts={choices.data?.hosts ?? []}
          sandboxes={sandboxes.data?.pages.flatMap(({ items }) => items).filter(usable) ?? []}
        />
      )}
    </Page>
  );
}

interface StartProps {
  agents: CatalogueAgent[];
  /** Whether any model can be asked here. */
  models: boolean;
  hosts: HostChoice[];
  sandboxes: Sandbox[];
}

/** With a desktop, where one can be had: agents are best watched at work. */
function defaultSandbox(hosts: HostChoice[]): SandboxForm {
  const { desktop, hostRootfs, images } = offerOf(hosts, ANY_HOST);
  const [image] = images;
  return {
    ...EMPTY_FORM,
    desktop: desktop ? (DESKTOP_CHOICES[1]?.value ?? NO_DESKTOP) : NO_DESKTOP,
    ...(!hostRootfs && image && { rootfs: 'image', image: image.name }),
  };
}

function Start({ agents, models, hosts, sandboxes }: StartProps) {
  const [params] = useSearchParams();
  const wanted = params.get('sandbox') ?? '';
  const form = useForm<StartForm>({
    initialValues: {
      agent: agentAtFirst(agents, models, remembered()) ?? '',
      prompt: '',
      where: wanted === '' ? 'new' : 'existing',
      sandboxId: sandboxes.some(({ id }) => id === wanted) ? wanted : '',
      directory: '',
      repository: '',
      branch: '',
      model: '',
    },
    validate: checkStart,
  });
  const sandbox = useForm<SandboxForm>({
    initialValues: defaultSandbox(hosts),
    validate: checkForm,
  });
  const [checked, setChecked] = useState(false);
  const [open, setOpen] = useState<string | null>(null);
  const start = useStart();
  if (agents.length === 0) return <NoAgent />;
  const { where } = form.values;
  const submit = form.onSubmit((values) => {
    if (values.where === 'new' && sandbox.validate().hasErrors) {
      setChecked(true);
      setOpen('sandbox');
      return;
    }
    remember(values.agent);
    start.mutate({ form: values, sandbox: where === 'new' ? toRequest(sandbox.values) : null });
  });
  const chosen = agents.find(({ name }) => name === form.values.agent);
  return (
    <form noValidate onSubmit={submit}>
      <Stack gap="lg" maw={760}>
        <RadioCards
          label="Agent"
          options={agents.map(({ name, title, description }) => ({
            value: name,
            label: title,
            description,
          }))}
          value={form.values.agent}
          onChange={(agent) => {
            form.setFieldValue('agent', agent);
          }}
        />
        <Textarea
          label="What should it do?"
          description="You can also say it later"
          placeholder="Write hello.txt with a greeting"
          minRows={3}
          maxRows={12}
          maxLength={1_000_000}
          {...form.getInputProps('prompt')}
        />
        <RadioCards
          label="Where it works"
          options={WHERE}
          value={where}
          onChange={(value) => {
            form.setFieldValue('where', value);
          }}
        />
        {where === 'existing' && (
          <Select
            label="Sandbox"
            placeholder={sandboxes.length === 0 ? 'None of yours runs' : 'Choose one'}
            searchable={sandboxes.length > 8}
            data={sandboxes.map(({ id, name }) => ({ value: id, label: name }))}
            {...form.getInputProps('sandboxId')}
            value={form.values.sandboxId === '' ? null : form.values.sandboxId}
          />
        )}
        {where === 'new' && !hosts.some(({ available }) => available) && (
          <Alert color="yellow" title="No host takes sandboxes now">
            <Text size="sm">The session cannot start before one does.</Text>
          </Alert>
        )}
        <Accordion variant="contained" chevronPosition="left" value={open} onChange={setOpen}>
          {where === 'new' && (
            <Accordion.Item value="sandbox">
              <Accordion.Control>
                <Text size="sm" fw={500}>
                  Sandbox: size, desktop, network, secrets
                </Text>
              </Accordion.Control>
              <Accordion.Panel>
                <Stack gap="lg">
                  <SandboxFields form={sandbox} checked={checked} />
                </Stack>
              </Accordion.Panel>
            </Accordion.Item>
          )}
          <Accordion.Item value="work">
            <Accordion.Control>
              <Text size="sm" fw={500}>
                Folder, git repository and model
              </Text>
            </Accordion.Control>
            <Accordion.Panel>
              <WorkFields form={form} agent={chosen} />
            </Accordion.Panel>
          </Accordion.Item>
        </Accordion>
        <FormError error={start.error} />
        <Group>
          <Button type="submit" loading={start.isPending} leftSection={<IconRobot size={17} />}>
            Start
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function WorkFields(props: {
  form: UseFormReturnType<StartForm>;
  agent: CatalogueAgent | undefined;
}) {
  const { form, agent } = props;
  const models = useQuery(modelsQuery);
  const providers = useQuery(providersQuery);
  const choices = choicesOf(models.data ?? [], providers.data ?? []);
  return (
    <Stack>
      <TextInput
        label="Folder"
        description="Where in the sandbox it works; the home folder if left empty"
        placeholder="/home/user/app"
        {...form.getInputProps('directory')}
      />
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <TextInput
          label="Git repository"
          description="Cloned into the folder first"
          placeholder="https://git.example.com/me/app.git"
          {...form.getInputProps('repository')}
        />
        <TextInput
          label="Branch"
          description="Its default branch if left empty"
          placeholder="main"
          {...form.getInputProps('branch')}
        />
      </SimpleGrid>
      {agent?.model_api === 'none' ? (
        <Text size="sm" c="dimmed">
          {agent.title} has models of its own.
        </Text>
      ) : (
        <Select
          label="Model"
          data={[
            { value: '', label: 'The default one' },
            ...choices.map(({ name }) => ({ value: name, label: name })),
          ]}
          searchable={choices.length > 8}
          {...form.getInputProps('model')}
        />
      )}
    </Stack>
  );
}

function NoAgent() {
  const admin = useIsAdmin();
  return (
    <EmptyState icon={IconRobot} title="No agent can be started">
      {admin ? (
        <>
          All agents are switched off. Switch one on in the{' '}
          <Anchor component={Link} to="/agents" size="sm">
            catalogue
          </Anchor>
          .
        </>
      ) : (
        'Ask an administrator to switch one on.'
      )}
    </EmptyState>
  );
}
