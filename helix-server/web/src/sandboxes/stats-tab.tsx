import { Card, Group, SimpleGrid, Text } from '@mantine/core';
import { useState, type ReactNode } from 'react';

import { insideUrl } from '../api/inside';
import type { Sandbox, SandboxStats } from '../api/types';
import { Meter } from '../components/meter';
import { Sparkline } from '../components/sparkline';
import { ErrorState, LoadingState } from '../components/states';
import { formatBytes } from '../format';
import { useFigures } from '../live/use-figures';
import { formatCores } from './sandbox-form';
import { NotRunning } from './sandbox-notice';
import { appended, rates, SAMPLES } from './stats-history';

/** What a sandbox uses, now and over the last minutes, as it is measured. */
export default function StatsTab({ sandbox }: { sandbox: Sandbox }) {
  const ready = sandbox.reachable && (sandbox.state === 'running' || sandbox.state === 'paused');
  const { now, error } = useFigures<SandboxStats>(
    ready ? insideUrl(sandbox.id, 'stats/stream') : null,
  );
  const [history, setHistory] = useState<SandboxStats[]>([]);
  const known = appended(history, now);
  if (known !== history) setHistory(known);
  if (!ready) return <NotRunning sandbox={sandbox} what="What it uses is shown" />;
  if (error !== undefined) {
    return (
      <ErrorState what="What it uses cannot be measured now. It is tried again" error={error} />
    );
  }
  if (!now) return <LoadingState label="Loading what it uses" />;
  return <Figures sandbox={sandbox} now={now} history={known} />;
}

function Figures(props: { sandbox: Sandbox; now: SandboxStats; history: SandboxStats[] }) {
  const { sandbox, now, history } = props;
  const { sent, received } = rates(history);
  const { cpu_millis: cores, pids } = sandbox.limits;
  return (
    <SimpleGrid cols={{ base: 1, sm: 2 }}>
      <Figure title="Processor" value={formatCores(now.cpu_millis)}>
        <Sparkline values={history.map((each) => each.cpu_millis)} slots={SAMPLES} most={cores} />
        <Note>
          of {formatCores(cores)} · {(now.cpu_us / 1_000_000).toFixed(1)} s in all
        </Note>
      </Figure>
      <Figure title="Memory" value={formatBytes(now.memory_bytes)}>
        <Sparkline
          values={history.map((each) => each.memory_bytes)}
          slots={SAMPLES}
          most={now.memory_limit_bytes}
        />
        <Note>of {formatBytes(now.memory_limit_bytes)}</Note>
      </Figure>
      <Figure title="Disk" value={formatBytes(now.disk_bytes)}>
        <UseMeter
          label="Disk"
          used={now.disk_bytes}
          total={now.disk_limit_bytes}
          format={formatBytes}
        />
      </Figure>
      <Figure title="Processes and threads" value={now.pids.toLocaleString()}>
        <UseMeter
          label="Processes"
          used={now.pids}
          total={pids}
          format={(amount) => amount.toLocaleString()}
        />
      </Figure>
      <Figure title="Received" value={`${formatBytes(received.at(-1) ?? 0)}/s`}>
        <Sparkline values={received} slots={SAMPLES} most={Math.max(1_024, ...received)} />
        <Note>{formatBytes(now.received_bytes)} in all</Note>
      </Figure>
      <Figure title="Sent" value={`${formatBytes(sent.at(-1) ?? 0)}/s`}>
        <Sparkline values={sent} slots={SAMPLES} most={Math.max(1_024, ...sent)} />
        <Note>{formatBytes(now.sent_bytes)} in all</Note>
      </Figure>
    </SimpleGrid>
  );
}

function Figure(props: { title: string; value: string; children: ReactNode }) {
  const { title, value, children } = props;
  return (
    <Card component="section" aria-label={title}>
      <Group justify="space-between" align="baseline" mb="sm">
        <Text size="sm" c="dimmed">
          {title}
        </Text>
        <Text fw={620} fz="lg" style={{ fontVariantNumeric: 'tabular-nums' }}>
          {value}
        </Text>
      </Group>
      {children}
    </Card>
  );
}

function Note({ children }: { children: ReactNode }) {
  return (
    <Text size="xs" c="dimmed" mt={6}>
      {children}
    </Text>
  );
}

function UseMeter(props: {
  label: string;
  used: number;
  total: number;
  format: (amount: number) => string;
}) {
  const { label, used, total, format } = props;
  return (
    <Meter
      label={label}
      text={`${format(used)} of ${format(total)}`}
      used={used}
      total={total}
      warns
      usedText={`of ${format(total)}`}
    />
  );
}
