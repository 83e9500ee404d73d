import {
  ActionIcon,
  Alert,
  Button,
  Checkbox,
  Menu,
  Modal,
  Stack,
  Text,
  Tooltip,
} from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import {
  IconDots,
  IconKey,
  IconPencil,
  IconPlayerPause,
  IconPlayerPlay,
  IconTrash,
} from '@tabler/icons-react';
import { useState } from 'react';
import { useNavigate } from 'react-router';

import { call, http } from '../api/client';
import { messageOf } from '../api/failure';
import { keys } from '../api/queries';
import type { SandboxHost } from '../api/types';
import { ConfirmDialog } from '../components/confirm';
import { CopyBlock } from '../components/copy';
import { count } from '../format';
import { MACHINES } from '../machines/machines';
import { NameDialog } from '../sandboxes/name-dialog';

/** What can be done with a host. */
export function HostActions({ host }: { host: SandboxHost }) {
  const [dialog, setDialog] = useState<'rename' | 'rotate' | 'remove' | null>(null);
  const close = () => {
    setDialog(null);
  };
  return (
    <>
      <DrainButton host={host} />
      <Menu position="bottom-end" width={210}>
        <Menu.Target>
          <ActionIcon variant="default" size={36} aria-label="More actions">
            <IconDots size={17} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item
            leftSection={<IconPencil size={16} />}
            onClick={() => {
              setDialog('rename');
            }}
          >
            Rename
          </Menu.Item>
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
            Delete
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {dialog === 'rename' && <Rename host={host} onClose={close} />}
      {dialog === 'rotate' && <Rotate host={host} onClose={close} />}
      {dialog === 'remove' && <Remove host={host} onClose={close} />}
    </>
  );
}

function DrainButton({ host }: { host: SandboxHost }) {
  const client = useQueryClient();
  const draining = host.state === 'draining';
  const toggle = useMutation({
    mutationFn: () => {
      const params = { path: { id: host.id } };
      return draining
        ? call(http.POST('/api/v1/sandbox-hosts/{id}/resume', { params }))
        : call(http.POST('/api/v1/sandbox-hosts/{id}/drain', { params }));
    },
    onSuccess: () => client.invalidateQueries({ queryKey: keys.sandboxHosts }),
    onError: (error) => {
      notifications.show({
        color: 'red',
        title: draining ? 'Not resumed' : 'Not draining',
        message: messageOf(error),
      });
    },
  });
  const hint = draining
    ? 'Takes new sandboxes again'
    : 'Keeps what it has and takes no new sandbox';
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
  host: SandboxHost;
  onClose: () => void;
}

function Rename({ host, onClose }: DialogProps) {
  const client = useQueryClient();
  const rename = useMutation({
    mutationFn: (name: string) =>
      call(
        http.PATCH('/api/v1/sandbox-hosts/{id}', {
          params: { path: { id: host.id } },
          body: { name },
        }),
      ),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.sandboxHosts });
      onClose();
    },
  });
  return (
    <NameDialog
      title={`Rename ${host.name}`}
      action="Rename"
      initial={host.name}
      required
      busy={rename.isPending}
      error={rename.error}
      onSubmit={rename.mutate}
      onClose={onClose}
    />
  );
}

function Remove({ host, onClose }: DialogProps) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [force, setForce] = useState(false);
  const remove = useMutation({
    mutationFn: () =>
      call(
        http.DELETE('/api/v1/sandbox-hosts/{id}', {
          params: { path: { id: host.id }, ...(force && { query: { force } }) },
        }),
      ),
    onSuccess: async () => {
      await navigate('/hosts');
      client.removeQueries({ queryKey: [...keys.sandboxHosts, host.id] });
      await client.invalidateQueries({ queryKey: keys.sandboxHosts });
      await client.invalidateQueries({ queryKey: keys.sandboxLists });
    },
  });
  return (
    <ConfirmDialog
      opened
      title={`Delete ${host.name}?`}
      action="Delete"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => {
        remove.mutate();
      }}
      onClose={onClose}
    >
      <Stack gap="sm">
        <Text size="sm">
          Its credential stops working and it is disconnected. While it has sandboxes or snapshots
          it is not deleted, unless they are to be forgotten with it.
        </Text>
        <Checkbox
          label={`Forget its sandboxes (${count(host.sandboxes, 'sandbox', 'sandboxes')}) and snapshots`}
          checked={force}
          onChange={({ currentTarget }) => {
            setForce(currentTarget.checked);
          }}
        />
      </Stack>
    </ConfirmDialog>
  );
}

function Rotate({ host, onClose }: DialogProps) {
  const rotate = useMutation({
    mutationFn: () =>
      call(
        http.POST('/api/v1/sandbox-hosts/{id}/credential', { params: { path: { id: host.id } } }),
      ),
  });
  if (rotate.data) {
    return (
      <Modal opened onClose={onClose} title="The new credential" size="lg">
        <Stack>
          <Text size="sm">Start the host’s daemon with it:</Text>
          <CopyBlock
            label="Command with the new credential"
            text={MACHINES.sandbox_host.runCommand(window.location.origin, rotate.data.credential)}
          />
          <Alert>The credential is shown this once.</Alert>
        </Stack>
      </Modal>
    );
  }
  return (
    <ConfirmDialog
      opened
      title={`New credential for ${host.name}?`}
      action="Replace the credential"
      busy={rotate.isPending}
      error={rotate.error}
      onConfirm={() => {
        rotate.mutate();
      }}
      onClose={onClose}
    >
      The present credential stops working at once, and the host is disconnected until its daemon is
      started with the new one. Its sandboxes go on meanwhile.
    </ConfirmDialog>
  );
}
