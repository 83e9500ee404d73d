import { ActionIcon, Alert, Button, Menu, Modal, Stack, Text, Tooltip } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { IconDots, IconKey, IconPlayerPause, IconPlayerPlay, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import { useNavigate } from 'react-router';

import { call, http } from '../api/client';
import { messageOf } from '../api/failure';
import { keys } from '../api/queries';
import type { Runner } from '../api/types';
import { ConfirmDialog } from '../components/confirm';
import { CopyBlock } from '../components/copy';
import { MACHINES } from '../machines/machines';

/** What can be done with a runner. */
export function RunnerActions({ runner }: { runner: Runner }) {
  const [dialog, setDialog] = useState<'remove' | 'rotate' | null>(null);
  const close = () => {
    setDialog(null);
  };
  return (
    <>
      <DrainButton runner={runner} />
      <Menu position="bottom-end" width={210}>
        <Menu.Target>
          <ActionIcon variant="default" size={36} aria-label="More actions">
            <IconDots size={17} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item
            leftSection={<IconKey size={16} />}
            onClick={() => {
              setDialog('rotate');
            }}
          >
            New credential
          </Menu.Item>
          <Menu.Item
            color="red"
            leftSection={<IconTrash size={16} />}
            onClick={() => {
              setDialog('remove');
            }}
          >
            Remove
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {dialog === 'remove' && <Remove runner={runner} onClose={close} />}
      {dialog === 'rotate' && <Rotate runner={runner} onClose={close} />}
    </>
  );
}

function DrainButton({ runner }: { runner: Runner }) {
  const client = useQueryClient();
  const draining = runner.state === 'draining';
  const toggle = useMutation({
    mutationFn: () => {
      const params = { path: { id: runner.id } };
      return draining
        ? call(http.POST('/api/v1/runners/{id}/resume', { params }))
        : call(http.POST('/api/v1/runners/{id}/drain', { params }));
    },
    onSuccess: () => client.invalidateQueries({ queryKey: keys.runners }),
    onError: (error) => {
      notifications.show({
        color: 'red',
        title: draining ? 'Not resumed' : 'Not draining',
        message: messageOf(error),
      });
    },
  });
  const hint = draining ? 'Takes new work again' : 'Finishes what it has and takes nothing new';
  return (
    <Tooltip label={hint}>
      <Button
        variant="default"
        loading={toggle.isPending}
        leftSection={draining ? <IconPlayerPlay size={15} /> : <IconPlayerPause size={15} />}
        onClick={() => {
          toggle.mutate();
        }}
      >
        {draining ? 'Resume' : 'Drain'}
      </Button>
    </Tooltip>
  );
}

interface DialogProps {
  runner: Runner;
  onClose: () => void;
}

function Remove({ runner, onClose }: DialogProps) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const remove = useMutation({
    mutationFn: () =>
      call(http.DELETE('/api/v1/runners/{id}', { params: { path: { id: runner.id } } })),
    onSuccess: async () => {
      await navigate('/runners');
      client.removeQueries({ queryKey: [...keys.runners, runner.id] });
      await client.invalidateQueries({ queryKey: keys.runners });
    },
  });
  return (
    <ConfirmDialog
      opened
      title={`Remove ${runner.name}?`}
      action="Remove"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => {
        remove.mutate();
      }}
      onClose={onClose}
    >
      Its credential stops working, its models stop, and answers that it is giving break off. Drain
      it first to let them finish.
    </ConfirmDialog>
  );
}

function Rotate({ runner, onClose }: DialogProps) {
  const rotate = useMutation({
    mutationFn: () =>
      call(http.POST('/api/v1/runners/{id}/credential', { params: { path: { id: runner.id } } })),
  });
  if (rotate.data) {
    return (
      <Modal opened onClose={onClose} title="The new credential" size="lg">
        <Stack>
          <Text size="sm">Start the runner with it:</Text>
          <CopyBlock
            label="Command with the new credential"
            text={MACHINES.runner.runCommand(window.location.origin, rotate.data.credential)}
          />
          <Alert>The credential is shown this once.</Alert>
        </Stack>
      </Modal>
    );
  }
  return (
    <ConfirmDialog
      opened
      title={`New credential for ${runner.name}?`}
      action="Replace the credential"
      busy={rotate.isPending}
      error={rotate.error}
      onConfirm={() => {
        rotate.mutate();
      }}
      onClose={onClose}
    >
      The present credential stops working at once, and the runner is disconnected until it is
      started with the new one.
    </ConfirmDialog>
  );
}
