import { Badge } from '@mantine/core';

import type {
  InstanceState,
  Model,
  RunnerState,
  Sandbox,
  SandboxState,
  TunnelLaneState,
  TunnelState,
} from '../api/types';

const RUNNER: Record<RunnerState, { label: string; color: string }> = {
  online: { label: 'Online', color: 'teal' },
  draining: { label: 'Draining', color: 'yellow' },
  reconnecting: { label: 'Reconnecting', color: 'orange' },
  offline: { label: 'Offline', color: 'gray' },
};

const TUNNEL: Record<TunnelState, { label: string; color: string }> = {
  connected: { label: 'Connected', color: 'teal' },
  reconnecting: { label: 'Reconnecting', color: 'orange' },
  disconnected: { label: 'Disconnected', color: 'gray' },
};

const LANE: Record<TunnelLaneState, { label: string; color: string }> = {
  connected: { label: 'Connected', color: 'teal' },
  resuming: { label: 'Resuming', color: 'orange' },
  closed: { label: 'Not open', color: 'gray' },
};

const INSTANCE: Record<InstanceState, { label: string; color: string }> = {
  downloading: { label: 'Downloading', color: 'blue' },
  starting: { label: 'Starting', color: 'blue' },
  ready: { label: 'Ready', color: 'teal' },
  draining: { label: 'Draining', color: 'yellow' },
  stopped: { label: 'Stopped', color: 'gray' },
  failed: { label: 'Failed', color: 'red' },
};

const SANDBOX: Record<SandboxState, { label: string; color: string }> = {
  creating: { label: 'Creating', color: 'blue' },
  running: { label: 'Running', color: 'teal' },
  paused: { label: 'Paused', color: 'orange' },
  stopped: { label: 'Stopped', color: 'gray' },
  failed: { label: 'Failed', color: 'red' },
  deleted: { label: 'Being deleted', color: 'gray' },
};

/** The state of a runner or a sandbox host. */
export function RunnerBadge({ state }: { state: RunnerState }) {
  const { label, color } = RUNNER[state];
  return <StateBadge label={label} color={color} />;
}

export function TunnelBadge({ state }: { state: TunnelState }) {
  const { label, color } = TUNNEL[state];
  return <StateBadge label={label} color={color} />;
}

export function LaneBadge({ state }: { state: TunnelLaneState }) {
  const { label, color } = LANE[state];
  return <StateBadge label={label} color={color} />;
}

export function InstanceBadge({ state }: { state: InstanceState }) {
  const { label, color } = INSTANCE[state];
  return <StateBadge label={label} color={color} />;
}

/** The state of a sandbox, unless its host cannot be asked now. */
export function SandboxBadge({ sandbox }: { sandbox: Pick<Sandbox, 'state' | 'reachable'> }) {
  const { label, color } = SANDBOX[sandbox.state];
  if (sandbox.reachable || sandbox.state === 'creating') {
    return <StateBadge label={label} color={color} />;
  }
  return <StateBadge label="Unreachable" color="orange" />;
}

export function ModelBadge({ model }: { model: Model }) {
  if (model.ready_instances > 0) {
    const times = model.ready_instances > 1 ? ` × ${model.ready_instances}` : '';
    return <StateBadge label={`Ready${times}`} color="teal" />;
  }
  if (model.starting_instances > 0) return <StateBadge label="Starting" color="blue" />;
  return <StateBadge label="Not running" color="gray" />;
}

function StateBadge({ label, color }: { label: string; color: string }) {
  return (
    <Badge
      color={color}
      miw="max-content"
      leftSection={
        <svg width="7" height="7" aria-hidden>
          <circle cx="3.5" cy="3.5" r="3.5" fill="currentColor" />
        </svg>
      }
    >
      {label}
    </Badge>
  );
}
