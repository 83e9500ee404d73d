import { ActionIcon, Button, Menu } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import {
  IconCamera,
  IconDots,
  IconGitFork,
  IconPencil,
  IconPlayerPause,
  IconPlayerPlay,
  IconPlayerStop,
  IconAdjustmentsHorizontal,
  IconTrash,
} from '@tabler/icons-react';
import { useState } from 'react';
import { useNavigate } from 'react-router';

import { call, http } from '../api/client';
import { keys } from '../api/queries';
import type { Sandbox } from '../api/types';
import { ConfirmDialog } from '../components/confirm';
import { useLifecycle } from './lifecycle';
import { NameDialog } from './name-dialog';
import { SettingsDialog } from './settings-dialog';
import { TakeSnapshot } from './take-snapshot';

interface Props {
  sandbox: Sandbox;
}

/** What can be done with a sandbox. */
export function SandboxActions({ sandbox }: Props) {
  const [dialog, setDialog] = useState<
    'fork' | 'snapshot' | 'rename' | 'settings' | 'delete' | null
  >(null);
  const close = () => {
    setDialog(null);
  };
  const { state, reachable } = sandbox;
  if (state === 'deleted') return null;
  const made = state !== 'creating' && reachable;
  return (
    <>
      <LifecycleButtons sandbox={sandbox} />
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
            disabled={!made}
            leftSection={<IconAdjustmentsHorizontal size={16} />}
            onClick={() => {
              setDialog('settings');
            }}
          >
            Limits and lifetime
          </Menu.Item>
          <Menu.Item
            disabled={!made}
            leftSection={<IconGitFork size={16} />}
            onClick={() => {
              setDialog('fork');
            }}
          >
            Fork
          </Menu.Item>
          <Menu.Item
            disabled={!made}
            leftSection={<IconCamera size={16} />}
            onClick={() => {
              setDialog('snapshot');
            }}
          >
            Take a snapshot
          </Menu.Item>
          <Menu.Divider />
          <Menu.Item
            color="red"
            leftSection={<IconTrash size={16} />}
            onClick={() => {
              setDialog('delete');
            }}
          >
            Delete
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {dialog === 'fork' && <Fork sandbox={sandbox} onClose={close} />}
      {dialog === 'snapshot' && <TakeSnapshot sandbox={sandbox} onClose={close} />}
      {dialog === 'rename' && <Rename sandbox={sandbox} onClose={close} />}
      {dialog === 'settings' && <SettingsDialog sandbox={sandbox} onClose={close} />}
      {dialog === 'delete' && <Delete sandbox={sandbox} onClose={close} />}
    </>
  );
}

function LifecycleButtons({ sandbox }: Props) {
  const { act, busy } = useLifecycle(sandbox);
  const { state, reachable } = sandbox;
  const common = { variant: 'default', disabled: busy || !reachable } as const;
  const running = state === 'running';
  const paused = state === 'paused';
  return (
    <>
      {running && (
        <Button
          {...common}
          leftSection={<IconPlayerPause size={15} />}
          onClick={() => {
            act('pause');
          }}
        >
          Pause
        </Button>
      )}
      {paused && (
        <Button
          {...common}
          leftSection={<IconPlayerPlay size={15} />}
          onClick={() => {
            act('resume');
          }}
        >
          Resume
        </Button>
      )}
      {(running || paused) && (
        <Button
          {...common}
          leftSection={<IconPlayerStop size={15} />}
          onClick={() => {
            act('stop');
          }}
        >
          Stop
        </Button>
      )}
      {(state === 'stopped' || state === 'failed') && (
        <Button
          disabled={busy || !reachable}
          leftSection={<IconPlayerPlay size={15} />}
          onClick={() => {
            act('start');
          }}
        >
          Start
        </Button>
      )}
    </>
  );
}

interface DialogProps extends Props {
  onClose: () => void;
}

function Fork({ sandbox, onClose }: DialogProps) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const fork = useMutation({
    mutationFn: (name: string) =>
      call(
        http.POST('/api/v1/sandboxes/{id}/fork', {
          params: { path: { id: sandbox.id } },
          body: name === '' ? {} : { name },
        }),
      ),
    onSuccess: async (made) => {
      client.setQueryData(keys.sandbox(made.id), made);
      void client.invalidateQueries({ queryKey: keys.sandboxLists });
      await navigate(`/sandboxes/${made.id}`);
      onClose();
    },
  });
  return (
    <NameDialog
      title={`Fork ${sandbox.name}`}
      action="Fork"
      busy={fork.isPending}
      error={fork.error}
      onSubmit={fork.mutate}
      onClose={onClose}
    >
      A new sandbox that starts with this one’s files as they are now, its network policy and its
      limits. What runs here does not run there.
    </NameDialog>
  );
}

function Rename({ sandbox, onClose }: DialogProps) {
  const client = useQueryClient();
  const rename = useMutation({
    mutationFn: (name: string) =>
      call(
        http.PATCH('/api/v1/sandboxes/{id}', {
          params: { path: { id: sandbox.id } },
          body: { name },
        }),
      ),
    onSuccess: (changed) => {
      client.setQueryData(keys.sandbox(sandbox.id), changed);
      void client.invalidateQueries({ queryKey: keys.sandboxLists });
      onClose();
    },
  });
  return (
    <NameDialog
      title={`Rename ${sandbox.name}`}
      action="Rename"
      initial={sandbox.name}
      required
      busy={rename.isPending}
      error={rename.error}
      onSubmit={rename.mutate}
      onClose={onClose}
    />
  );
}

function Delete({ sandbox, onClose }: DialogProps) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const remove = useMutation({
    mutationFn: () =>
      call(http.DELETE('/api/v1/sandboxes/{id}', { params: { path: { id: sandbox.id } } })),
    onSuccess: async () => {
      await navigate('/sandboxes');
      client.removeQueries({ queryKey: keys.sandbox(sandbox.id) });
      await client.invalidateQueries({ queryKey: keys.sandboxLists });
    },
  });
  return (
    <ConfirmDialog
      opened
      title={`Delete ${sandbox.name}?`}
      action="Delete"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => {
        remove.mutate();
      }}
      onClose={onClose}
    >
      What runs in it ends, and its files are gone for good. Snapshots that were taken of it stay.
    </ConfirmDialog>
  );
}
