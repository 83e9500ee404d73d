import { ActionIcon, Button, Card, Group, Table, Tooltip } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import { useNavigate } from 'react-router';

import { call, http } from '../api/client';
import { keys } from '../api/queries';
import type { Snapshot } from '../api/types';
import { ConfirmDialog } from '../components/confirm';
import { StackedTable } from '../components/stacked-table';
import { RelativeTime } from '../components/time';
import { formatBytes } from '../format';
import { NameDialog } from './name-dialog';

/** Snapshots, and what can be done with them. */
export function Snapshots({ snapshots }: { snapshots: Snapshot[] }) {
  const [dialog, setDialog] = useState<{ what: 'use' | 'delete'; snapshot: Snapshot } | null>(null);
  const close = () => {
    setDialog(null);
  };
  return (
    <>
      <Card padding={0}>
        <StackedTable label="Snapshots" columns={['Name', 'Size', 'Taken']} actions>
          {snapshots.map((snapshot) => (
            <Table.Tr key={snapshot.id}>
              <Table.Td fw={550}>{snapshot.name}</Table.Td>
              <Table.Td data-label="Size">{formatBytes(snapshot.size_bytes)}</Table.Td>
              <Table.Td data-label="Taken">
                <RelativeTime atMs={snapshot.created_at_ms} />
              </Table.Td>
              <Table.Td ta="right">
                <Group gap={4} justify="flex-end" wrap="nowrap">
                  <Button
                    size="compact-sm"
                    variant="default"
                    leftSection={<IconPlus size={14} />}
                    aria-label={`New sandbox from ${snapshot.name}`}
                    onClick={() => {
                      setDialog({ what: 'use', snapshot });
                    }}
                  >
                    New sandbox
                  </Button>
                  <Tooltip label="Delete">
                    <ActionIcon
                      aria-label={`Delete the snapshot ${snapshot.name}`}
                      onClick={() => {
                        setDialog({ what: 'delete', snapshot });
                      }}
                    >
                      <IconTrash size={16} />
                    </ActionIcon>
                  </Tooltip>
                </Group>
              </Table.Td>
            </Table.Tr>
          ))}
        </StackedTable>
      </Card>
      {dialog?.what === 'use' && <Use snapshot={dialog.snapshot} onClose={close} />}
      {dialog?.what === 'delete' && <Delete snapshot={dialog.snapshot} onClose={close} />}
    </>
  );
}

interface DialogProps {
  snapshot: Snapshot;
  onClose: () => void;
}

function Use({ snapshot, onClose }: DialogProps) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const create = useMutation({
    mutationFn: (name: string) =>
      call(
        http.POST('/api/v1/sandboxes', {
          body: { snapshot_id: snapshot.id, ...(name !== '' && { name }) },
        }),
      ),
    onSuccess: async (sandbox) => {
      client.setQueryData(keys.sandbox(sandbox.id), sandbox);
      void client.invalidateQueries({ queryKey: keys.sandboxLists });
      await navigate(`/sandboxes/${sandbox.id}`);
    },
  });
  return (
    <NameDialog
      title={`New sandbox from ${snapshot.name}`}
      action="Create"
      busy={create.isPending}
      error={create.error}
      onSubmit={create.mutate}
      onClose={onClose}
    >
      It starts with the snapshot’s files, network policy and limits, on the same host.
    </NameDialog>
  );
}

function Delete({ snapshot, onClose }: DialogProps) {
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: () =>
      call(http.DELETE('/api/v1/snapshots/{id}', { params: { path: { id: snapshot.id } } })),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.snapshots });
      onClose();
    },
  });
  return (
    <ConfirmDialog
      opened
      title={`Delete the snapshot ${snapshot.name}?`}
      action="Delete"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => {
        remove.mutate();
      }}
      onClose={onClose}
    >
      Its files are gone for good. Sandboxes that were made from it keep theirs.
    </ConfirmDialog>
  );
}
