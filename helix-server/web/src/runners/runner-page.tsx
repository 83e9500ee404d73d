import {
  Alert,
  Anchor,
  Breadcrumbs,
  Card,
  Group,
  SimpleGrid,
  Stack,
  Text,
  Title,
} from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from 'react-router';

import { runnerQuery } from '../api/queries';
import type { Runner, RunnerDevice } from '../api/types';
import { Ability } from '../components/ability';
import { ENGINE_NAMES } from '../components/engine';
import { Page } from '../components/page';
import { ErrorState, LoadingState } from '../components/states';
import { RunnerBadge } from '../components/status-badge';
import { RelativeTime } from '../components/time';
import { formatDateTime } from '../format';
import { InstanceCard } from './instance-card';
import { MemoryBar } from './memory-bar';
import { RunnerActions } from './runner-actions';
import { TunnelCard } from '../machines/tunnel-card';

/** What its tunnel carries changes without an event that would say so. */
const FIGURES_MS = 5_000;

export default function RunnerPage() {
  const { runnerId = '' } = useParams();
  const runner = useQuery({ ...runnerQuery(runnerId), refetchInterval: FIGURES_MS });
  const above = (
    <Breadcrumbs mb="sm" fz="sm">
      <Anchor component={Link} to="/runners" size="sm" underline="hover">
        Runners
      </Anchor>
      <Text size="sm" c="dimmed">
        {runner.data?.name ?? 'Runner'}
      </Text>
    </Breadcrumbs>
  );
  if (runner.data) return <Detail runner={runner.data} above={above} />;
  return (
    <Page title="Runner" above={above}>
      {runner.isPending ? (
        <LoadingState label="Loading the runner" />
      ) : (
        <ErrorState
          what="The runner could not be loaded"
          error={runner.error}
          onRetry={() => void runner.refetch()}
        />
      )}
    </Page>
  );
}

function Detail({ runner, above }: { runner: Runner; above: React.ReactNode }) {
  return (
    <Page
      title={runner.name}
      above={above}
      description={<Facts runner={runner} />}
      actions={<RunnerActions runner={runner} />}
    >
      {runner.state === 'offline' && <OfflineNotice runner={runner} />}
      {runner.state === 'reconnecting' && <ReconnectingNotice />}
      <Stack gap={36}>
        <section aria-labelledby="devices">
          <Title order={2} id="devices" mb="sm">
            Devices
          </Title>
          {runner.devices.length === 0 && <Nothing>It has not reported a device yet.</Nothing>}
          <SimpleGrid cols={{ base: 1, sm: runner.devices.length > 1 ? 2 : 1 }}>
            {runner.devices.map((device) => (
              <DeviceCard key={device.id} device={device} />
            ))}
          </SimpleGrid>
        </section>
        <section aria-labelledby="instances">
          <Title order={2} id="instances" mb="sm">
            Instances
          </Title>
          {runner.instances.length === 0 && (
            <Nothing>No model runs here. One is started when somebody asks for it.</Nothing>
          )}
          <Stack>
            {runner.instances.map((instance) => (
              <InstanceCard key={instance.id} runner={runner} instance={instance} />
            ))}
          </Stack>
        </section>
        <section aria-labelledby="connection">
          <Title order={2} id="connection" mb="sm">
            Connection
          </Title>
          <TunnelCard tunnel={runner.tunnel} />
        </section>
        <section aria-labelledby="engines">
          <Title order={2} id="engines" mb="sm">
            Engines
          </Title>
          {runner.engines.length === 0 && <Nothing>It has not reported an engine yet.</Nothing>}
          {runner.engines.length > 0 && (
            <Card>
              <Stack gap="sm">
                {runner.engines.map((engine) => (
                  <Ability
                    key={engine.kind}
                    name={ENGINE_NAMES[engine.kind]}
                    available={engine.available}
                    detail={engine.detail}
                  />
                ))}
              </Stack>
            </Card>
          )}
        </section>
      </Stack>
    </Page>
  );
}

function Facts({ runner }: { runner: Runner }) {
  return (
    <Group gap="xs">
      <RunnerBadge state={runner.state} />
      <span>
        {[runner.hostname, runner.platform, runner.version && `version ${runner.version}`]
          .filter(Boolean)
          .join(' · ')}
      </span>
    </Group>
  );
}

function OfflineNotice({ runner }: { runner: Runner }) {
  return (
    <Alert color="yellow" mb="xl" title="This runner is not connected">
      {runner.last_seen_at_ms == null ? (
        <>It was registered {formatDateTime(runner.created_at_ms)} and never connected. </>
      ) : (
        <>
          It was last heard of <RelativeTime atMs={runner.last_seen_at_ms} />.{' '}
        </>
      )}
      Check that <code>helix-runner</code> runs on the machine and reaches this server; it connects
      again by itself. What is below is what it last said.
    </Alert>
  );
}

function ReconnectingNotice() {
  return (
    <Alert color="orange" mb="xl" title="The connection is being restored">
      The runner’s connection broke, and it is expected back. What it was answering waits and goes
      on where it was; nothing new is sent to it until then.
    </Alert>
  );
}

function DeviceCard({ device }: { device: RunnerDevice }) {
  const facts = [
    device.kind === 'cuda' ? `GPU ${device.index}` : 'Processor and main memory',
    device.utilization_percent == null ? null : `${device.utilization_percent} % busy`,
    device.temperature_celsius == null ? null : `${device.temperature_celsius} °C`,
  ].filter((fact) => fact !== null);
  return (
    <Card>
      <Group justify="space-between" mb="sm" gap={4}>
        <Text fw={600} size="sm">
          {device.name}
        </Text>
        <Text size="xs" c="dimmed">
          {facts.join(' · ')}
        </Text>
      </Group>
      <MemoryBar device={device} />
    </Card>
  );
}

function Nothing({ children }: { children: string }) {
  return (
    <Text size="sm" c="dimmed">
      {children}
    </Text>
  );
}
