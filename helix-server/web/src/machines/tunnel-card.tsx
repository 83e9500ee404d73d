import { Card, Group, Stack, Table, Text } from '@mantine/core';

import { sentence } from '../api/failure';
import type { RunnerTunnel, TunnelClose, TunnelLaneStatus } from '../api/types';
import { StackedTable } from '../components/stacked-table';
import { LaneBadge, TunnelBadge } from '../components/status-badge';
import { RelativeTime, useNow } from '../components/time';
import { count, formatBytes, formatDuration, formatRoundTrip } from '../format';
import { LANE_NAMES, totals, tunnelFacts } from './tunnel-facts';

const COLUMNS = ['Lane', 'State', 'Round trip', 'Received', 'Sent', 'Resumed', 'In flight'];

/** How a runner is connected: its tunnel, lane by lane, and why the last connection ended. */
export function TunnelCard({ tunnel }: { tunnel: RunnerTunnel }) {
  const now = useNow();
  const { received, sent } = totals(tunnel);
  const lanes = tunnel.lanes.length > 0;
  return (
    <Card padding={0}>
      <Stack gap={6} px={20} py="md">
        <Group gap="xs">
          <TunnelBadge state={tunnel.state} />
          <Text size="xs" c="dimmed">
            {tunnel.changed_at_ms == null
              ? 'not connected since this server started'
              : `for ${formatDuration(now - tunnel.changed_at_ms)}`}
            {lanes && ` · ${formatBytes(received)} received · ${formatBytes(sent)} sent`}
          </Text>
        </Group>
        {tunnel.last_close != null && (
          <LastClose close={tunnel.last_close} atMs={tunnel.last_close_at_ms} />
        )}
      </Stack>
      {lanes && (
        <StackedTable label="Lanes of the tunnel" columns={COLUMNS}>
          {tunnel.lanes.map((lane) => (
            <LaneRow key={lane.lane} lane={lane} />
          ))}
        </StackedTable>
      )}
    </Card>
  );
}

function LastClose({ close, atMs }: { close: TunnelClose; atMs?: number | null | undefined }) {
  return (
    <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
      Last interruption
      {atMs != null && (
        <>
          {' '}
          <RelativeTime atMs={atMs} />
        </>
      )}
      : {sentence(close.reason)}
    </Text>
  );
}

function LaneRow({ lane }: { lane: TunnelLaneStatus }) {
  const used = lane.state !== 'closed' || lane.received_bytes > 0;
  const shown = (text: string) => (used ? text : '–');
  const waiting = lane.replay_bytes > 0 ? `, ${formatBytes(lane.replay_bytes)} unconfirmed` : '';
  return (
    <Table.Tr>
      <Table.Td>
        <Text size="sm" fw={550}>
          {LANE_NAMES[lane.lane]}
        </Text>
      </Table.Td>
      <Table.Td data-label="State">
        <span title={lane.last_close == null ? undefined : sentence(lane.last_close.reason)}>
          <LaneBadge state={lane.state} />
        </span>
      </Table.Td>
      <Table.Td data-label="Round trip">
        {lane.round_trip_us == null ? '–' : formatRoundTrip(lane.round_trip_us)}
      </Table.Td>
      <Table.Td data-label="Received">{shown(formatBytes(lane.received_bytes))}</Table.Td>
      <Table.Td data-label="Sent">{shown(formatBytes(lane.sent_bytes) + waiting)}</Table.Td>
      <Table.Td data-label="Resumed">{shown(count(lane.resumes, 'time'))}</Table.Td>
      <Table.Td data-label="In flight">{shown(count(lane.in_flight, 'request'))}</Table.Td>
    </Table.Tr>
  );
}

/** The same in one line. */
export function TunnelLine({ tunnel }: { tunnel: RunnerTunnel }) {
  const facts = tunnelFacts(tunnel);
  if (facts.length === 0) return null;
  return (
    <Text size="xs" c="dimmed" mt={2}>
      {facts.join(' · ')}
    </Text>
  );
}
