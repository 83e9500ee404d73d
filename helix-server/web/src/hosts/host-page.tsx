import { Alert, Anchor, Breadcrumbs, Card, Group, Stack, Table, Text, Title } from '@mantine/core';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Link, useParams } from 'react-router';

import { sandboxesQuery, sandboxHostQuery } from '../api/sandbox-queries';
import { sentence } from '../api/failure';
import type { HostImage, HostUse, SandboxHost, SandboxStats, SandboxUse } from '../api/types';
import { Ability } from '../components/ability';
import { Page } from '../components/page';
import { StackedTable } from '../components/stacked-table';
import { ErrorState, LoadingState } from '../components/states';
import { RunnerBadge, SandboxBadge } from '../components/status-badge';
import { RelativeTime } from '../components/time';
import { count, formatBytes, formatDateTime } from '../format';
import { useFigures } from '../live/use-figures';
import { TunnelCard } from '../machines/tunnel-card';
import { describeLimits, formatCores } from '../sandboxes/sandbox-form';
import { Capacity } from './capacity';
import { HostActions } from './host-actions';
import { HostFacts } from './hosts-page';

const CAPABILITY_NAMES: Record<string, string> = {
  namespaces: 'Namespaces',
  network: 'Networks of their own',
  limits: 'Limits',
  disk_limit: 'Limit on the disk',
  docker: 'Docker inside',
  desktop: 'Desktops',
  host_rootfs: 'The host’s system as file system',
  images: 'Images',
};

export default function HostPage() {
  const { hostId = '' } = useParams();
  const host = useQuery(sandboxHostQuery(hostId));
  const above = (
    <Breadcrumbs mb="sm" fz="sm">
      <Anchor component={Link} to="/hosts" size="sm" underline="hover">
        Hosts
      </Anchor>
      <Text size="sm" c="dimmed" truncate>
        {host.data?.name ?? 'Host'}
      </Text>
    </Breadcrumbs>
  );
  if (host.data) return <Detail host={host.data} above={above} />;
  return (
    <Page title="Host" above={above}>
      {host.isPending ? (
        <LoadingState label="Loading the host" />
      ) : (
        <ErrorState
          what="The host could not be loaded"
          error={host.error}
          onRetry={() => void host.refetch()}
        />
      )}
    </Page>
  );
}

function Detail({ host, above }: { host: SandboxHost; above: ReactNode }) {
  const { info } = host;
  const connected = host.state === 'online' || host.state === 'draining';
  const { now } = useFigures<HostUse>(
    connected ? `/api/v1/sandbox-hosts/${host.id}/stats/stream` : null,
  );
  return (
    <Page
      title={host.name}
      above={above}
      description={
        <Group gap="xs">
          <RunnerBadge state={host.state} />
          <span>
            <HostFacts host={host} />
          </span>
        </Group>
      }
      actions={<HostActions host={host} />}
    >
      <Notices host={host} />
      <Stack gap={36}>
        <Section id="capacity" title="Capacity">
          {info ? (
            <Card>
              <Capacity host={host.name} capacity={now?.capacity ?? info.capacity} />
              {now && <UsedBySandboxes uses={now.sandboxes} />}
            </Card>
          ) : (
            <Nothing>It has not said yet what it has.</Nothing>
          )}
        </Section>
        <Section id="sandboxes" title="Sandboxes">
          <SandboxesHere host={host} uses={now?.sandboxes ?? []} />
        </Section>
        <Section id="abilities" title="What it can do">
          {info && info.capabilities.length > 0 ? (
            <Card>
              <Stack gap="sm">
                {info.capabilities.map(({ name, available, detail }) => (
                  <Ability
                    key={name}
                    name={CAPABILITY_NAMES[name] ?? name}
                    available={available}
                    detail={sentence(detail)}
                  />
                ))}
              </Stack>
            </Card>
          ) : (
            <Nothing>It has not said yet what it can do.</Nothing>
          )}
        </Section>
        <Section id="images" title="Images">
          {info && info.images.length > 0 ? (
            <Images images={info.images} />
          ) : (
            <Nothing>
              No image was imported here. <code>helix-sandbox image import</code> does it, on the
              host.
            </Nothing>
          )}
        </Section>
        <Section id="connection" title="Connection">
          <TunnelCard tunnel={host.tunnel} />
        </Section>
      </Stack>
    </Page>
  );
}

function Section({ id, title, children }: { id: string; title: string; children: ReactNode }) {
  return (
    <section aria-labelledby={id}>
      <Title order={2} id={id} mb="sm">
        {title}
      </Title>
      {children}
    </section>
  );
}

function Nothing({ children }: { children: ReactNode }) {
  return (
    <Text size="sm" c="dimmed">
      {children}
    </Text>
  );
}

function Notices({ host }: { host: SandboxHost }) {
  if (host.state === 'reconnecting') {
    return (
      <Alert color="orange" mb="xl" title="The connection is being restored">
        The host’s connection broke, and it is expected back. Its sandboxes go on meanwhile.
      </Alert>
    );
  }
  if (host.state !== 'offline') return null;
  return (
    <Alert color="yellow" mb="xl" title="This host is not connected">
      {host.last_seen_at_ms == null ? (
        <>It was registered {formatDateTime(host.created_at_ms)} and never connected. </>
      ) : (
        <>
          It was last heard of <RelativeTime atMs={host.last_seen_at_ms} />.{' '}
        </>
      )}
      Check that <code>helix-sandbox</code> runs on the machine and reaches this server; it connects
      again by itself. What is below is what it last said.
    </Alert>
  );
}

/** What the sandboxes use together, in one line. */
function UsedBySandboxes({ uses }: { uses: SandboxUse[] }) {
  const sum = (of: (stats: SandboxStats) => number) =>
    uses.reduce((total, { stats }) => total + of(stats), 0);
  const memory = sum((stats) => stats.memory_bytes);
  const facts = [
    `${count(uses.length, 'sandbox', 'sandboxes')} in memory`,
    formatCores(sum((stats) => stats.cpu_millis)),
    `${formatBytes(memory)} of memory`,
    uses.length > 1 && `${formatBytes(memory / uses.length)} each on average`,
  ];
  return (
    <Text size="xs" c="dimmed" mt="md" style={{ fontVariantNumeric: 'tabular-nums' }}>
      {facts.filter(Boolean).join(' · ')}
    </Text>
  );
}

function SandboxesHere({ host, uses }: { host: SandboxHost; uses: SandboxUse[] }) {
  const list = useInfiniteQuery(sandboxesQuery({ user: 'all', host_id: host.id }));
  if (list.isPending) return <LoadingState label="Loading the sandboxes" />;
  if (list.isError) {
    return (
      <ErrorState
        what="The sandboxes could not be loaded"
        error={list.error}
        onRetry={() => void list.refetch()}
      />
    );
  }
  const sandboxes = list.data.pages.flatMap((page) => page.items);
  if (sandboxes.length === 0) return <Nothing>No sandbox is on this host.</Nothing>;
  return (
    <>
      <Card padding={0}>
        <StackedTable
          label="Sandboxes"
          columns={['Name', 'State', 'Processor', 'Memory', 'Limits', 'Used']}
        >
          {sandboxes.map((sandbox) => (
            <Table.Tr key={sandbox.id}>
              <Table.Td>
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
              </Table.Td>
              <Table.Td data-label="State">
                <SandboxBadge sandbox={sandbox} />
              </Table.Td>
              <Using stats={uses.find(({ id }) => id === sandbox.id)?.stats} />
              <Table.Td data-label="Limits">
                <Text size="xs" c="dimmed">
                  {describeLimits(sandbox.limits)}
                </Text>
              </Table.Td>
              <Table.Td data-label="Used">
                <RelativeTime atMs={sandbox.used_at_ms} />
              </Table.Td>
            </Table.Tr>
          ))}
        </StackedTable>
      </Card>
      {list.hasNextPage && (
        <Anchor
          component="button"
          size="sm"
          mt="sm"
          disabled={list.isFetchingNextPage}
          onClick={() => void list.fetchNextPage()}
        >
          Show more
        </Anchor>
      )}
    </>
  );
}

/** What one uses now, in two cells. */
function Using({ stats }: { stats: SandboxStats | undefined }) {
  return (
    <>
      <Table.Td data-label="Processor" style={{ fontVariantNumeric: 'tabular-nums' }}>
        {stats ? formatCores(stats.cpu_millis) : '–'}
      </Table.Td>
      <Table.Td data-label="Memory" style={{ fontVariantNumeric: 'tabular-nums' }}>
        {stats ? formatBytes(stats.memory_bytes) : '–'}
      </Table.Td>
    </>
  );
}

function Images({ images }: { images: HostImage[] }) {
  return (
    <Card padding={0}>
      <StackedTable label="Images" columns={['Name', 'Digest', 'Size', 'Imported']}>
        {images.map((image) => (
          <Table.Tr key={`${image.name} ${image.digest}`}>
            <Table.Td fw={550}>{image.name}</Table.Td>
            <Table.Td data-label="Digest">
              <Text size="xs" ff="monospace" c="dimmed" title={image.digest}>
                {image.digest.slice(0, 19)}…
              </Text>
            </Table.Td>
            <Table.Td data-label="Size">{formatBytes(image.size_bytes)}</Table.Td>
            <Table.Td data-label="Imported">
              <RelativeTime atMs={image.created_at_ms} />
            </Table.Td>
          </Table.Tr>
        ))}
      </StackedTable>
    </Card>
  );
}
