import { Button, Group, Modal, Select, Stack, Text } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';

import { agentsQuery } from '../../api/agent-queries';
import { call, http } from '../../api/client';
import { keys, modelsQuery, providersQuery } from '../../api/queries';
import type { CatalogueAgent, Session, SessionAgent } from '../../api/types';
import { choicesOf } from '../../chat/model-choice';
import { ErrorState, FormError, LoadingState } from '../../components/states';

interface Props {
  session: Session;
  of: SessionAgent;
  onClose: () => void;
}

/** Has the session go on with another agent, or another model. */
export function ChooseAgent({ session, of, onClose }: Props) {
  const agents = useQuery(agentsQuery);
  return (
    <Modal opened onClose={onClose} title="Agent and model" size="md">
      {agents.isError ? (
        <ErrorState
          what="The agents could not be loaded"
          error={agents.error}
          onRetry={() => void agents.refetch()}
        />
      ) : agents.data ? (
        <Form
          session={session}
          of={of}
          agents={agents.data.filter(({ name, enabled }) => enabled || name === of.agent)}
          onClose={onClose}
        />
      ) : (
        <LoadingState label="Loading the agents" />
      )}
    </Modal>
  );
}

function Form({ session, of, agents, onClose }: Props & { agents: CatalogueAgent[] }) {
  const client = useQueryClient();
  const models = useQuery(modelsQuery);
  const providers = useQuery(providersQuery);
  const form = useForm({ initialValues: { agent: of.agent, model: session.model } });
  const { agent, model } = form.values;
  const chosen = agents.find(({ name }) => name === agent);
  const names = choicesOf(models.data ?? [], providers.data ?? []).map(({ name }) => name);
  const choose = useMutation({
    mutationFn: () =>
      call(
        http.PUT('/api/v1/sessions/{id}/agent', {
          params: { path: { id: session.id } },
          body: {
            ...(agent !== of.agent && { agent }),
            ...(model !== session.model && { model }),
          },
        }),
      ),
    onSuccess: (changed) => {
      client.setQueryData(keys.session(session.id), changed);
      void client.invalidateQueries({ queryKey: keys.sessions });
      onClose();
    },
  });
  const same = agent === of.agent && model === session.model;
  return (
    <form
      onSubmit={form.onSubmit(() => {
        choose.mutate();
      })}
    >
      <Stack>
        <Select
          label="Agent"
          allowDeselect={false}
          data={agents.map(({ name, title }) => ({ value: name, label: title }))}
          {...form.getInputProps('agent')}
        />
        {chosen?.model_api === 'none' ? (
          <Text size="sm" c="dimmed">
            {chosen.title} has models of its own.
          </Text>
        ) : (
          <Select
            label="Model"
            allowDeselect={false}
            searchable={names.length > 8}
            data={[
              ...(names.includes(session.model)
                ? []
                : [
                    {
                      value: session.model,
                      label: session.model === 'default' ? 'The default one' : session.model,
                    },
                  ]),
              ...names.map((name) => ({ value: name, label: name })),
            ]}
            {...form.getInputProps('model')}
          />
        )}
        <Text size="sm" c="dimmed">
          {agent === of.agent
            ? 'It goes on with what was said, with the next prompt.'
            : 'It begins with the next prompt, in the same sandbox; it does not know what was said before.'}
        </Text>
        <FormError error={choose.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" disabled={same} loading={choose.isPending}>
            Change
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
