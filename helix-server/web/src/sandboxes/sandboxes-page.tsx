import {
  Anchor,
  Box,
  Button,
  Card,
  Group,
  SegmentedControl,
  Table,
  Text,
  TextInput,
  Title,
} from '@mantine/core';
import { useDisclosure, useLocalStorage } from '@mantine/hooks';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { IconPlus, IconSearch, IconTerminal2 } from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';

import {
  sandboxesQuery,
  sandboxHostsQuery,
  snapshotsQuery,
  SNAPSHOTS_LISTED,
} from '../api/sandbox-queries';
import type { Sandbox } from '../api/types';
import { useIsAdmin, useUser } from '../auth/gates';
import { Page } from '../components/page';
import { StackedTable } from '../components/stacked-table';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { SandboxBadge } from '../components/status-badge';
import { RelativeTime } from '../components/time';
import { CreateSandbox } from './create-sandbox';
import { describeLimits } from './sandbox-form';
import { Snapshots } from './snapshots';
import { Wall } from './wall/wall';

/** From this many on there is something to search in. */
const SEARCHABLE = 6;

type View = 'list' | 'desktops';

const VIEWS: { value: View; label: string }[] = [
  { value: 'list', label: 'List' },
  { value: 'desktops', label: 'Desktops' },
];

export default function SandboxesPage() {
  const admin = useIsAdmin();
  const [view, setView] = useLocalStorage<View>({
    key: 'helix-sandboxes',
    defaultValue: 'list',
    getInitialValueInEffect: false,
  });
  const [everybody, setEverybody] = useState(false);
  const [search, setSearch] = useState('');
  const [creating, { open, close }] = useDisclosure(false);
  const list = useInfiniteQuery(sandboxesQuery(everybody ? { user: 'all' } : {}));
  const sandboxes = list.data?.pages.flatMap((page) => page.items);
  const wanted = search.trim().toLowerCase();
  const shown = sandboxes?.filter((each) => mentions(each, wanted));
  const some = (sandboxes?.length ?? 0) > 0;
  const searchable = wanted !== '' || (sandboxes?.length ?? 0) >= SEARCHABLE;
  const create = (
    <Button leftSection={<IconPlus size={16} />} onClick={open}>
      Create a sandbox
    </Button>
  );
  return (
    <Page
      title="Sandboxes"
      description="Isolated machines to build, run and try things in, each with its own files, network and limits."
      actions={create}
      wide={view === 'desktops' && some}
    >
      {(admin || some) && (
        <Group mb="md" gap="sm">
          {admin && (
            <SegmentedControl
              aria-label="Whose sandboxes"
              data={[
                { value: 'mine', label: 'Mine' },
                { value: 'everybody', label: 'Everybody’s' },
              ]}
              value={everybody ? 'everybody' : 'mine'}
              onChange={(value) => {
                setEverybody(value === 'everybody');
              }}
            />
          )}
          {some && (
            <SegmentedControl
              aria-label="How they are shown"
              data={VIEWS}
              value={view}
              onChange={setView}
            />
          )}
          {searchable && (
            <TextInput
              aria-label="Search sandboxes"
              placeholder="Search"
              leftSection={<IconSearch size={15} />}
              value={search}
              onChange={({ currentTarget }) => {
                setSearch(currentTarget.value);
              }}
            />
          )}
        </Group>
      )}
      {list.isPending && <LoadingState label="Loading the sandboxes" />}
      {list.isError && (
        <ErrorState
          what="The sandboxes could not be loaded"
          error={list.error}
          onRetry={() => void list.refetch()}
        />
      )}
      {sandboxes?.length === 0 && (
        <Card>
          <EmptyState icon={IconTerminal2} title="No sandbox yet" action={create}>
            A sandbox is ready in a moment. Open a terminal in it, put files there, reach what
            listens in it. Nothing that happens inside reaches the machine it is on.
          </EmptyState>
        </Card>
      )}
      {some && shown?.length === 0 && (
        <Card>
          <Text size="sm" c="dimmed">
            No sandbox that is called “{search.trim()}”.
          </Text>
        </Card>
      )}
      {shown && shown.length > 0 && view === 'desktops' && (
        <Wall sandboxes={shown} everybody={everybody} />
      )}
      {shown && shown.length > 0 && view === 'list' && (
        <Card padding={0}>
          <SandboxTable sandboxes={shown} everybody={everybody} />
        </Card>
      )}
      {list.hasNextPage && (
        <Group justify="center" mt="md">
          <Button
            variant="default"
            loading={list.isFetchingNextPage}
            onClick={() => void list.fetchNextPage()}
          >
            Show more
          </Button>
        </Group>
      )}
      <AllSnapshots />
      {creating && <CreateSandbox onClose={close} />}
    </Page>
  );
}

/** One's own snapshots; those of sandboxes that are gone are found here only. */
function AllSnapshots() {
  const snapshots = useQuery(snapshotsQuery());
  if (snapshots.isError) {
    return (
      <Box mt="md">
        <ErrorState
          what="The snapshots could not be loaded"
          error={snapshots.error}
          onRetry={() => void snapshots.refetch()}
        />
      </Box>
    );
  }
  if (!snapshots.data || snapshots.data.items.length === 0) return null;
  return (
    <section aria-labelledby="snapshots" style={{ marginTop: 36 }}>
      <Title order={2} id="snapshots" mb="sm">
        Snapshots
      </Title>
      <Snapshots snapshots={snapshots.data.items} />
      {snapshots.data.next_cursor != null && (
        <Text size="xs" c="dimmed" mt="xs">
          The newest {SNAPSHOTS_LISTED} are shown.
        </Text>
      )}
    </section>
  );
}

function mentions(sandbox: Sandbox, wanted: string): boolean {
  const { name, id, state, rootfs } = sandbox;
  const image = rootfs.kind === 'image' ? rootfs.image : 'host';
  return [name, id, state, image].some((text) => text.toLowerCase().includes(wanted));
}

function SandboxTable(props: { sandboxes: Sandbox[]; everybody: boolean }) {
  const { sandboxes, everybody } = props;
  const me = useUser();
  const admin = useIsAdmin();
  const hosts = useQuery({ ...sandboxHostsQuery, enabled: admin });
  const hostName = (id: string) => hosts.data?.find((host) => host.id === id)?.name ?? id;
  const columns = ['Name', 'State', ...(admin ? ['Host'] : []), 'File system', 'Limits', 'Used'];
  return (
    <StackedTable label="Sandboxes" columns={columns}>
      {sandboxes.map((sandbox) => (
        <Table.Tr key={sandbox.id}>
          <Table.Td maw={280}>
            <Anchor
              component={Link}
              to={`/sandboxes/${sandbox.id}`}
              size="sm"
              fw={550}
              underline="hover"
              lineClamp={2}
              title={sandbox.name}
            >
              {sandbox.name}
            </Anchor>
            {everybody && (
              <Text size="xs" c="dimmed">
                {sandbox.user_id === me.id ? 'yours' : sandbox.user_id}
              </Text>
            )}
          </Table.Td>
          <Table.Td data-label="State">
            <SandboxBadge sandbox={sandbox} />
          </Table.Td>
          {admin && (
            <Table.Td data-label="Host">
              {sandbox.host_id == null ? (
                '–'
              ) : (
                <Anchor component={Link} to={`/hosts/${sandbox.host_id}`} size="sm">
                  {hostName(sandbox.host_id)}
                </Anchor>
              )}
            </Table.Td>
          )}
          <Table.Td data-label="File system" maw={200}>
            <Text size="sm" truncate>
              {sandbox.rootfs.kind === 'image' ? sandbox.rootfs.image : 'Host’s system'}
            </Text>
          </Table.Td>
          <Table.Td data-label="Limits">
            <Text size="xs" c="dimmed">
              {describeLimits(sandbox.limits)}
            </Text>
          </Table.Td>
          <Table.Td data-label="Used">
            <Text size="sm">
              <RelativeTime atMs={sandbox.used_at_ms} />
            </Text>
          </Table.Td>
        </Table.Tr>
      ))}
    </StackedTable>
  );
}
