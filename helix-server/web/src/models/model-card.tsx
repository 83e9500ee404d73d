import { ActionIcon, Badge, Button, Card, Group, Menu, Text, Title, Tooltip } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { IconDots, IconFlame, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';

import { call, http } from '../api/client';
import { messageOf } from '../api/failure';
import { keys } from '../api/queries';
import type { Model } from '../api/types';
import { useIsAdmin } from '../auth/gates';
import { ConfirmDialog } from '../components/confirm';
import { CopyButton } from '../components/copy';
import { describeSource, ENGINE_NAMES, SOURCE_NAMES } from '../components/engine';
import { ModelBadge } from '../components/status-badge';
import { count, formatBytes } from '../format';

const BASIS = {
  estimated: { label: 'estimated', hint: 'From the header of the weights, until it was measured' },
  configured: { label: 'configured', hint: 'Set by whoever registered the model' },
  measured: { label: 'measured', hint: 'The highest use that was seen' },
};

export function ModelCard({ model }: { model: Model }) {
  const admin = useIsAdmin();
  return (
    <Card component="article" aria-label={`Model ${model.name}`}>
      <Group justify="space-between" align="flex-start" wrap="nowrap">
        <div style={{ minWidth: 0 }}>
          <Group gap="xs">
            <Title order={2} style={{ overflowWrap: 'anywhere' }}>
              {model.name}
            </Title>
            <CopyButton text={model.name} label="Copy the name" />
            <ModelBadge model={model} />
            {model.default && <Badge variant="outline">Default</Badge>}
          </Group>
          {model.description !== '' && (
            <Text size="sm" mt={2}>
              {model.description}
            </Text>
          )}
        </div>
        {admin && <Actions model={model} />}
      </Group>
      <Group gap={28} mt="md" align="flex-start">
        <Fact label="Engine">{ENGINE_NAMES[model.engine]}</Fact>
        <Fact label={SOURCE_NAMES[model.source.type]}>{describeSource(model.source)}</Fact>
        <Fact label="Memory for one instance">
          <Memory model={model} />
        </Fact>
        <Fact label="At once">
          {count(model.settings.parallel, 'request')}
          {model.settings.devices > 1 && `, over ${model.settings.devices} devices`}
        </Fact>
        {model.settings.context_tokens != null && (
          <Fact label="Context">{`${model.settings.context_tokens.toLocaleString()} tokens`}</Fact>
        )}
      </Group>
    </Card>
  );
}

function Fact({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div style={{ minWidth: 0 }}>
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text size="sm" component="div" style={{ overflowWrap: 'anywhere' }}>
        {children}
      </Text>
    </div>
  );
}

function Memory({ model }: { model: Model }) {
  if (model.memory == null) return 'known after the first start';
  const { label, hint } = BASIS[model.memory.basis];
  const each = model.settings.devices > 1 ? ' on each device' : '';
  return (
    <Tooltip label={hint}>
      <span>
        {formatBytes(model.memory.bytes_per_device)}
        {each}, {label}
      </span>
    </Tooltip>
  );
}

function Actions({ model }: { model: Model }) {
  const client = useQueryClient();
  const [deleting, setDeleting] = useState(false);
  const prewarm = useMutation({
    mutationFn: () =>
      call(http.POST('/api/v1/models/{id}/prewarm', { params: { path: { id: model.id } } })),
    onSuccess: () => {
      notifications.show({
        title: `${model.name} is starting`,
        message: 'It is ready for the first question as soon as it has loaded.',
      });
      return client.invalidateQueries({ queryKey: keys.models });
    },
    onError: (error) => {
      notifications.show({
        color: 'red',
        title: `${model.name} was not started`,
        message: messageOf(error),
      });
    },
  });
  return (
    <Group gap="xs" wrap="nowrap">
      {model.ready_instances + model.starting_instances === 0 && (
        <Tooltip label="Start it now, so that the first question does not wait">
          <Button
            size="xs"
            variant="default"
            leftSection={<IconFlame size={14} />}
            loading={prewarm.isPending}
            onClick={() => {
              prewarm.mutate();
            }}
          >
            Start
          </Button>
        </Tooltip>
      )}
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon aria-label={`Actions for ${model.name}`}>
            <IconDots size={17} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item
            color="red"
            leftSection={<IconTrash size={16} />}
            onClick={() => {
              setDeleting(true);
            }}
          >
            Delete
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {deleting && (
        <DeleteModel
          model={model}
          onClose={() => {
            setDeleting(false);
          }}
        />
      )}
    </Group>
  );
}

function DeleteModel({ model, onClose }: { model: Model; onClose: () => void }) {
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: () =>
      call(http.DELETE('/api/v1/models/{id}', { params: { path: { id: model.id } } })),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.models });
      onClose();
    },
  });
  return (
    <ConfirmDialog
      opened
      title={`Delete ${model.name}?`}
      action="Delete"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => {
        remove.mutate();
      }}
      onClose={onClose}
    >
      Nobody can ask it any more, and its instances stop. The weights stay where they are. Chats
      keep their answers.
    </ConfirmDialog>
  );
}
