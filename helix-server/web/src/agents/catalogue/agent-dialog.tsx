import {
  Button,
  Code,
  Group,
  Modal,
  Select,
  Stack,
  Switch,
  Textarea,
  TextInput,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';

import { agentQuery } from '../../api/agent-queries';
import { call, http } from '../../api/client';
import { keys } from '../../api/queries';
import { ErrorState, FormError, LoadingState } from '../../components/states';
import { checkAgent, EMPTY_AGENT, MODEL_APIS, toForm, toPut, type AgentForm } from './agent-form';

const MONOSPACE = { input: { fontFamily: 'var(--mantine-font-family-monospace)' } };

/** Changes an agent of the catalogue. */
export function EditAgent({ name, onClose }: { name: string; onClose: () => void }) {
  const agent = useQuery(agentQuery(name));
  return (
    <Modal opened onClose={onClose} title={`Change ${agent.data?.title ?? name}`} size="xl">
      {agent.isPending && <LoadingState label="Loading the agent" />}
      {agent.isError && !agent.data && (
        <ErrorState
          what="The agent could not be loaded"
          error={agent.error}
          onRetry={() => void agent.refetch()}
        />
      )}
      {agent.data && <Fields initial={toForm(agent.data)} onClose={onClose} />}
    </Modal>
  );
}

/** Puts another agent into the catalogue. */
export function AddAgent({ onClose }: { onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title="Add an agent" size="xl">
      <Fields initial={EMPTY_AGENT} onClose={onClose} isNew />
    </Modal>
  );
}

interface FieldsProps {
  initial: AgentForm;
  isNew?: boolean;
  onClose: () => void;
}

function Fields({ initial, isNew = false, onClose }: FieldsProps) {
  const client = useQueryClient();
  const form = useForm<AgentForm>({ initialValues: initial, validate: checkAgent });
  const save = useMutation({
    mutationFn: (values: AgentForm) =>
      call(
        http.PUT('/api/v1/agents/{name}', {
          params: { path: { name: values.name } },
          body: toPut(values),
        }),
      ),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.agents });
      onClose();
    },
  });
  return (
    <form
      noValidate
      onSubmit={form.onSubmit((values) => {
        save.mutate(values);
      })}
    >
      <Stack>
        <Group grow align="flex-start">
          <TextInput
            label="Name"
            description="What it is called in requests"
            placeholder="my-agent"
            required
            disabled={!isNew}
            data-autofocus={isNew || undefined}
            {...form.getInputProps('name')}
          />
          <TextInput
            label="Title"
            description="What people see"
            placeholder="My agent"
            required
            data-autofocus={!isNew || undefined}
            {...form.getInputProps('title')}
          />
        </Group>
        <Textarea label="Description" maxRows={4} {...form.getInputProps('description')} />
        <Select
          label="API of models that it calls"
          data={MODEL_APIS}
          {...form.getInputProps('modelApi')}
        />
        <Textarea
          label="Program"
          description="A program that speaks ACP, and its arguments, one on each line"
          placeholder={'opencode\nacp'}
          minRows={2}
          maxRows={8}
          required
          styles={MONOSPACE}
          {...form.getInputProps('command')}
        />
        <Textarea
          label="Installation"
          description="Lines of a shell, run as the sandbox’s user where the program is missing"
          placeholder="npm install --global opencode-ai"
          minRows={2}
          maxRows={10}
          styles={MONOSPACE}
          {...form.getInputProps('install')}
        />
        <Textarea
          label="Environment variables"
          description={
            <>
              One NAME=value on each line. <Code>{'{HELIX_API}'}</Code>,{' '}
              <Code>{'{HELIX_API_KEY}'}</Code> and <Code>{'{HELIX_MODEL}'}</Code> become the address
              at which it asks models, the session’s key and its model.
            </>
          }
          minRows={2}
          maxRows={10}
          styles={MONOSPACE}
          {...form.getInputProps('environment')}
        />
        <Switch
          label="Sessions can be started with it"
          {...form.getInputProps('enabled', { type: 'checkbox' })}
        />
        <FormError error={save.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={save.isPending}>
            {isNew ? 'Add' : 'Save'}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
