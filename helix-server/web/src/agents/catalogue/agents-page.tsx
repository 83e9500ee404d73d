import { ActionIcon, Badge, Button, Card, Group, Stack, Text, Title, Tooltip } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconPencil, IconPlus, IconRestore, IconRobot, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';

import { agentsQuery } from '../../api/agent-queries';
import { call, http } from '../../api/client';
import { keys } from '../../api/queries';
import type { CatalogueAgent } from '../../api/types';
import { ConfirmDialog } from '../../components/confirm';
import { Page } from '../../components/page';
import { EmptyState, ErrorState, LoadingState } from '../../components/states';
import { AddAgent, EditAgent } from './agent-dialog';
import { MODEL_APIS } from './agent-form';

type Dialog = { kind: 'add' } | { kind: 'edit' | 'delete'; agent: CatalogueAgent };

/** The agents that sessions can be started with. */
export default function AgentsPage() {
  const agents = useQuery(agentsQuery);
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const close = () => {
    setDialog(null);
  };
  const add = (
    <Button
      leftSection={<IconPlus size={16} />}
      onClick={() => {
        setDialog({ kind: 'add' });
      }}
    >
      Add an agent
    </Button>
  );
  return (
    <Page
      title="Agents"
      description="The programs that sessions can be started with: anything that speaks the Agent Client Protocol. One that is missing in a sandbox is installed there when it is first used."
      actions={add}
    >
      {agents.isPending && <LoadingState label="Loading the agents" />}
      {agents.isError && !agents.data && (
        <ErrorState
          what="The agents could not be loaded"
          error={agents.error}
          onRetry={() => void agents.refetch()}
        />
      )}
      {agents.data?.length === 0 && (
        <Card>
          <EmptyState icon={IconRobot} title="No agent yet" action={add}>
            Without one, no session with an agent can be started.
          </EmptyState>
        </Card>
      )}
      <Stack>
        {agents.data?.map((agent) => (
          <AgentCard
            key={agent.name}
            agent={agent}
            onEdit={() => {
              setDialog({ kind: 'edit', agent });
            }}
            onDelete={() => {
              setDialog({ kind: 'delete', agent });
            }}
          />
        ))}
      </Stack>
      {dialog?.kind === 'add' && <AddAgent onClose={close} />}
      {dialog?.kind === 'edit' && <EditAgent name={dialog.agent.name} onClose={close} />}
      {dialog?.kind === 'delete' && <DeleteAgent agent={dialog.agent} onClose={close} />}
    </Page>
  );
}

interface CardProps {
  agent: CatalogueAgent;
  onEdit: () => void;
  onDelete: () => void;
}

function AgentCard({ agent, onEdit, onDelete }: CardProps) {
  const { name, title, description, model_api: api, built_in: builtIn, enabled } = agent;
  return (
    <Card component="article" aria-label={`Agent ${title}`} padding="md">
      <Group justify="space-between" wrap="nowrap" align="flex-start">
        <div style={{ minWidth: 0, overflowWrap: 'anywhere' }}>
          <Group gap="xs">
            <Title order={2} size="h3">
              {title}
            </Title>
            {builtIn && <Badge color="blue">Comes with Helix</Badge>}
            {!enabled && <Badge color="gray">Switched off</Badge>}
          </Group>
          <Text size="sm" mt={4}>
            {description}
          </Text>
          <Text size="xs" c="dimmed" mt={4}>
            {name} · {MODEL_APIS.find(({ value }) => value === api)?.label}
          </Text>
        </div>
        <Group gap={4} wrap="nowrap">
          <Tooltip label="Change">
            <ActionIcon size={32} aria-label={`Change ${title}`} onClick={onEdit}>
              <IconPencil size={17} />
            </ActionIcon>
          </Tooltip>
          <Tooltip label={builtIn ? 'Make it as it came' : 'Delete'}>
            <ActionIcon
              size={32}
              aria-label={builtIn ? `Make ${title} as it came` : `Delete ${title}`}
              onClick={onDelete}
            >
              {builtIn ? <IconRestore size={17} /> : <IconTrash size={17} />}
            </ActionIcon>
          </Tooltip>
        </Group>
      </Group>
    </Card>
  );
}

function DeleteAgent({ agent, onClose }: { agent: CatalogueAgent; onClose: () => void }) {
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: () =>
      call(http.DELETE('/api/v1/agents/{name}', { params: { path: { name: agent.name } } })),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.agents });
      onClose();
    },
  });
  return (
    <ConfirmDialog
      opened
      title={agent.built_in ? `Make ${agent.title} as it came?` : `Delete ${agent.title}?`}
      action={agent.built_in ? 'Undo all changes' : 'Delete'}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => {
        remove.mutate();
      }}
      onClose={onClose}
    >
      {agent.built_in
        ? 'What was changed of it is undone. Sessions that there are go on with what they began with.'
        : 'No session can be started with it any more. Sessions that there are go on.'}
    </ConfirmDialog>
  );
}
