import {
  Alert,
  Anchor,
  Badge,
  Button,
  Card,
  Group,
  SimpleGrid,
  Stack,
  Text,
  Title,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { IconPlus, IconServer2 } from '@tabler/icons-react';
import { Link } from 'react-router';

import { runnersQuery } from '../api/queries';
import type { Runner } from '../api/types';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { Page } from '../components/page';
import { InstanceBadge, RunnerBadge } from '../components/status-badge';
import { RelativeTime } from '../components/time';
import { count } from '../format';
import { AddMachine } from '../machines/add-machine';
import { JoinTokens } from '../machines/join-tokens';
import { MemoryBar } from './memory-bar';
import { TunnelLine } from '../machines/tunnel-card';

/** What tunnels carry changes without an event that would say so. */
const FIGURES_MS = 5_000;

/** More devices than this are on the runner's own page only. */
const DEVICES_SHOWN = 4;

export default function RunnersPage() {
  const runners = useQuery({ ...runnersQuery, refetchInterval: FIGURES_MS });
  const [adding, { open, close }] = useDisclosure(false);
  const add = (
    <Button leftSection={<IconPlus size={16} />} onClick={open}>
      Add a runner
    </Button>
  );
  return (
    <Page
      title="Runners"
      description="Machines that run models. They connect out to this server, so they work behind a firewall."
      actions={add}
    >
      {runners.isPending && <LoadingState label="Loading the runners" />}
      {runners.isError && (
        <ErrorState
          what="The runners could not be loaded"
          error={runners.error}
          onRetry={() => void runners.refetch()}
        />
      )}
      {runners.data?.length === 0 && (
        <Card>
          <EmptyState icon={IconServer2} title="No runner yet" action={add}>
            A runner is any machine with memory to spare, best with a GPU. Adding one takes a single
            command on that machine.
          </EmptyState>
        </Card>
      )}
      {runners.data && runners.data.length > 0 && (
        <Stack>
          {runners.data.map((runner) => (
            <RunnerCard key={runner.id} runner={runner} />
          ))}
        </Stack>
      )}
      <JoinTokens kind="runner" />
      <AddMachine kind="runner" opened={adding} onClose={close} />
    </Page>
  );
}

function RunnerCard({ runner }: { runner: Runner }) {
  const shown = runner.devices.slice(0, DEVICES_SHOWN);
  const more = runner.devices.length - shown.length;
  const failed = runner.instances.filter((instance) => instance.state === 'failed').length;
  const alive = runner.instances.filter((instance) => instance.state !== 'stopped');
  return (
    <Card component="article" aria-label={`Runner ${runner.name}`}>
      <Group justify="space-between" align="flex-start" mb="md">
        <div>
          <Group gap="xs">
            <Title order={2}>
              <Anchor component={Link} to={`/runners/${runner.id}`} inherit underline="hover">
                {runner.name}
              </Anchor>
            </Title>
            <RunnerBadge state={runner.state} />
          </Group>
          <Text size="xs" c="dimmed" mt={4}>
            <Facts runner={runner} />
          </Text>
          <TunnelLine tunnel={runner.tunnel} />
        </div>
        <Button component={Link} to={`/runners/${runner.id}`} variant="default" size="xs">
          Details
        </Button>
      </Group>
      {shown.length > 0 && (
        <SimpleGrid cols={{ base: 1, sm: shown.length > 1 ? 2 : 1 }} spacing="lg">
          {shown.map((device) => (
            <div key={device.id}>
              <Group justify="space-between" mb={6}>
                <Text size="sm" fw={550}>
                  {device.name}
                </Text>
                {device.utilization_percent != null && (
                  <Text size="xs" c="dimmed">
                    {device.utilization_percent} % busy
                  </Text>
                )}
              </Group>
              <MemoryBar device={device} />
            </div>
          ))}
        </SimpleGrid>
      )}
      {more > 0 && (
        <Text size="xs" c="dimmed" mt="sm">
          and {count(more, 'more device')}
        </Text>
      )}
      {alive.length > 0 && (
        <Group gap="xs" mt="lg">
          {alive.map((instance) => (
            <Badge
              key={instance.id}
              variant="default"
              size="lg"
              fw={500}
              rightSection={<InstanceBadge state={instance.state} />}
            >
              {instance.model_name}
            </Badge>
          ))}
        </Group>
      )}
      {failed > 0 && (
        <Alert color="red" mt="md" py="xs">
          {count(failed, 'instance')} failed.{' '}
          <Anchor component={Link} to={`/runners/${runner.id}`} size="sm">
            See why
          </Anchor>
        </Alert>
      )}
    </Card>
  );
}

function Facts({ runner }: { runner: Runner }) {
  const facts = [
    runner.hostname,
    runner.platform,
    runner.version == null ? null : `version ${runner.version}`,
  ].filter((fact) => fact != null);
  return (
    <>
      {facts.join(' · ')}
      {runner.state === 'offline' && (
        <>
          {facts.length > 0 && ' · '}
          {runner.last_seen_at_ms == null ? (
            'never connected'
          ) : (
            <>
              last seen <RelativeTime atMs={runner.last_seen_at_ms} />
            </>
          )}
        </>
      )}
    </>
  );
}
