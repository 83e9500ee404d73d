import { Button, Card, Group } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { IconCamera } from '@tabler/icons-react';

import { snapshotsQuery } from '../api/sandbox-queries';
import type { Sandbox } from '../api/types';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { Snapshots } from './snapshots';
import { TakeSnapshot } from './take-snapshot';

/** The snapshots of a sandbox. */
export default function SnapshotsTab({ sandbox }: { sandbox: Sandbox }) {
  const snapshots = useQuery(snapshotsQuery(sandbox));
  const [taking, { open, close }] = useDisclosure(false);
  if (snapshots.isPending) return <LoadingState label="Loading the snapshots" />;
  if (snapshots.isError) {
    return (
      <ErrorState
        what="The snapshots could not be loaded"
        error={snapshots.error}
        onRetry={() => void snapshots.refetch()}
      />
    );
  }
  const taken = snapshots.data.items;
  const possible = sandbox.reachable && !['creating', 'deleted'].includes(sandbox.state);
  const take = (
    <Button leftSection={<IconCamera size={16} />} disabled={!possible} onClick={open}>
      Take a snapshot
    </Button>
  );
  return (
    <>
      {taken.length === 0 ? (
        <Card>
          <EmptyState icon={IconCamera} title="No snapshot yet" action={take}>
            A snapshot keeps the files as they are. Take one before you try something, and start new
            sandboxes from it.
          </EmptyState>
        </Card>
      ) : (
        <>
          <Group justify="flex-end" mb="md">
            {take}
          </Group>
          <Snapshots snapshots={taken} />
        </>
      )}
      {taking && <TakeSnapshot sandbox={sandbox} onClose={close} />}
    </>
  );
}
