/** What a runner's tunnel amounts to, in words and sums. */
import type { RunnerTunnel, TunnelLaneStatus } from '../api/types';
import { count, formatBytes, formatRoundTrip } from '../format';

export const LANE_NAMES: Record<TunnelLaneStatus['lane'], string> = {
  control: 'Control',
  bulk: 'Bulk',
  media: 'Media',
};

export interface Totals {
  received: number;
  sent: number;
  resumes: number;
  inFlight: number;
}

/** All lanes together. */
export function totals(tunnel: RunnerTunnel): Totals {
  const sum = (of: (lane: TunnelLaneStatus) => number) =>
    tunnel.lanes.reduce((total, lane) => total + of(lane), 0);
  return {
    received: sum((lane) => lane.received_bytes),
    sent: sum((lane) => lane.sent_bytes),
    resumes: sum((lane) => lane.resumes),
    inFlight: sum((lane) => lane.in_flight),
  };
}

/** The connection in one line, for where there is no room for more; none without a tunnel. */
export function tunnelFacts(tunnel: RunnerTunnel): string[] {
  if (tunnel.lanes.length === 0) return [];
  const { received, sent, resumes } = totals(tunnel);
  const control = tunnel.lanes.find((lane) => lane.lane === 'control');
  const facts = [
    control?.round_trip_us == null ? null : `${formatRoundTrip(control.round_trip_us)} away`,
    `${formatBytes(received)} received`,
    `${formatBytes(sent)} sent`,
    resumes === 0 ? null : `resumed ${count(resumes, 'time')}`,
  ];
  return facts.filter((fact) => fact !== null);
}
