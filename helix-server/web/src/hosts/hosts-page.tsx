import { Anchor, Button, Card, Group, Stack, Text, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { IconBuildingWarehouse, IconPlus } from '@tabler/icons-react';
import { Link } from 'react-router';

import { sandboxHostsQuery } from '../api/sandbox-queries';
import type { SandboxHost } from '../api/types';
import { Page } from '../components/page';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { RunnerBadge } from '../components/status-badge';
import { RelativeTime } from '../components/time';
import { count } from '../format';
import { AddMachine } from '../machines/add-machine';
import { JoinTokens } from '../machines/join-tokens';
import { TunnelLine } from '../machines/tunnel-card';
import { Capacity } from './capacity';

export default function HostsPage() {
  const hosts = useQuery(sandboxHostsQuery);
  const [adding, { open, close }] = useDisclosure(false);
  const add = (
    <Button leftSection={<IconPlus size={16} />} onClick={open}>
      Add a host
    </Button>
  );
  return (
    <Page
      title="Hosts"
      description="Machines that sandboxes are on. They connect out to this server, so they work behind a firewall."
      actions={add}
    >
      {hosts.isPending && <LoadingState label="Loading the hosts" />}
      {hosts.isError && (
        <ErrorState
          what="The hosts could not be loaded"
          error={hosts.error}
          onRetry={() => void hosts.refetch()}
        />
      )}
      {hosts.data?.length === 0 && (
        <Card>
          <EmptyState icon={IconBuildingWarehouse} title="No host yet" action={add}>
            A host is a Linux machine that keeps sandboxes apart from each other and from itself.
            Adding one takes a single command on that machine.
          </EmptyState>
        </Card>
      )}
      {hosts.data && hosts.data.length > 0 && (
        <Stack>
          {hosts.data.map((host) => (
            <HostCard key={host.id} host={host} />
          ))}
        </Stack>
      )}
      <JoinTokens kind="sandbox_host" />
      <AddMachine kind="sandbox_host" opened={adding} onClose={close} />
    </Page>
  );
}

function HostCard({ host }: { host: SandboxHost }) {
  const missing = host.info?.capabilities.filter(({ available }) => !available).length ?? 0;
  return (
    <Card component="article" aria-label={`Host ${host.name}`}>
      <Group justify="space-between" align="flex-start" mb={host.info ? 'md' : 0}>
        <div style={{ minWidth: 0, overflowWrap: 'anywhere' }}>
          <Group gap="xs">
            <Title order={2}>
              <Anchor component={Link} to={`/hosts/${host.id}`} inherit underline="hover">
                {host.name}
              </Anchor>
            </Title>
            <RunnerBadge state={host.state} />
          </Group>
          <Text size="xs" c="dimmed" mt={4}>
            <HostFacts host={host} />
          </Text>
          <TunnelLine tunnel={host.tunnel} />
        </div>
        <Button component={Link} to={`/hosts/${host.id}`} variant="default" size="xs">
          Details
        </Button>
      </Group>
      {host.info && <Capacity host={host.name} capacity={host.info.capacity} />}
      {missing > 0 && (
        <Text size="xs" c="dimmed" mt="md">
          It cannot do everything:{' '}
          <Anchor component={Link} to={`/hosts/${host.id}`} size="xs">
            {count(missing, 'thing is', 'things are')} missing
          </Anchor>
        </Text>
      )}
    </Card>
  );
}

/** A host in one line. */
export function HostFacts({ host }: { host: SandboxHost }) {
  const { info, state, last_seen_at_ms: lastSeen } = host;
  const facts = [
    count(host.sandboxes, 'sandbox', 'sandboxes'),
    info?.hostname,
    info?.platform,
    info && `${info.backend} backend`,
    info && `version ${info.version}`,
  ].filter((fact) => fact != null);
  return (
    <>
      {facts.join(' · ')}
      {state === 'offline' && (
        <>
          {' · '}
          {lastSeen == null ? (
            'never connected'
          ) : (
            <>
              last seen <RelativeTime atMs={lastSeen} />
            </>
          )}
        </>
      )}
    </>
  );
}
