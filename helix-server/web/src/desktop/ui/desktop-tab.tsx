import { Alert, Anchor, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';

import { sentence } from '../../api/failure';
import { desktopStatusQuery } from '../../api/sandbox-queries';
import type { Sandbox, ServiceStatus } from '../../api/types';
import { count } from '../../format';
import { NotRunning } from '../../sandboxes/sandbox-notice';
import Desktop from './desktop';

/** It may be well again without an event that would say so. */
const OVER_MS = 10_000;

const isOver = (status?: ServiceStatus) =>
  status?.state === 'failed' || status?.state === 'stopped';

/** The desktop of a sandbox, live. */
export default function DesktopTab({
  sandbox,
  looksOn = false,
}: {
  sandbox: Sandbox;
  /** Whether whoever looks may do no more than that. */
  looksOn?: boolean;
}) {
  const running = sandbox.state === 'running';
  // Where it cannot be asked, the viewer says why.
  const status = useQuery({
    ...desktopStatusQuery(sandbox.id),
    enabled: running && sandbox.reachable,
    refetchInterval: ({ state }) => (isOver(state.data) ? OVER_MS : false),
  }).data;
  // A picture stays on the screen while its host is away for a moment.
  if (!running) return <NotRunning sandbox={sandbox} what="Its desktop can be used" />;
  if (status && isOver(status)) return <Over sandbox={sandbox} status={status} />;
  return <Desktop key={sandbox.id} sandbox={sandbox} looksOn={looksOn} />;
}

/** It does not begin again by itself, and why. */
function Over({ sandbox, status }: { sandbox: Sandbox; status: ServiceStatus }) {
  const failed = status.state === 'failed';
  return (
    <Alert
      color={failed ? 'red' : 'gray'}
      title={failed ? 'The desktop failed' : 'The desktop was ended'}
    >
      <Text size="sm" mb={6} style={{ overflowWrap: 'anywhere' }}>
        {sentence(status.message) || 'It did not say why.'}
      </Text>
      <Text size="sm">
        {status.starts > 1 && `It was started ${count(status.starts, 'time')}. `}
        It is not started again until the sandbox is.{' '}
        <Anchor component={Link} to={`/sandboxes/${sandbox.id}/log`} size="sm" c="inherit">
          What it wrote is in the log
        </Anchor>
        .
      </Text>
    </Alert>
  );
}
