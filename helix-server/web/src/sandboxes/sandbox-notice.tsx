import { Alert, Button, Card, Group, Loader, Text } from '@mantine/core';
import { IconCircle, IconCircleCheckFilled } from '@tabler/icons-react';

import { sentence } from '../api/failure';
import type { Sandbox } from '../api/types';
import { EmptyState } from '../components/states';
import { useNow } from '../components/time';
import { formatDuration } from '../format';
import { IconPlayerPlay, IconZzz } from '@tabler/icons-react';
import { useLifecycle } from './lifecycle';
import { PHASES } from './sandbox-form';
import classes from './sandbox-page.module.css';

interface Props {
  sandbox: Sandbox;
}

/** What anybody who looks at a sandbox must know first. */
export function SandboxNotice({ sandbox }: Props) {
  if (sandbox.state === 'deleted') {
    return (
      <Alert color="gray" mb="lg" title="It is being deleted">
        Its processes and files go away. Nothing can be done with it any more.
      </Alert>
    );
  }
  if (sandbox.state === 'creating') return <Creating sandbox={sandbox} />;
  return (
    <>
      {!sandbox.reachable && (
        <Alert color="orange" mb="lg" title="Its host cannot be reached now">
          What is shown is what the host last said. The sandbox may run all the same; it can be used
          again when the host is back.
        </Alert>
      )}
      <Ended sandbox={sandbox} />
    </>
  );
}

function Creating({ sandbox }: Props) {
  const now = useNow();
  const phases = PHASES.filter(({ phase }) => phase !== 'docker' || sandbox.docker);
  const current = phases.findIndex(({ phase }) => phase === sandbox.phase);
  return (
    <Card mb="lg" component="section" aria-label="Progress" padding="md">
      <Group justify="space-between">
        <Text size="sm" fw={550} role="status">
          {phases[current]?.label ?? 'It is being made'}
        </Text>
        <Text size="xs" c="dimmed">
          {formatDuration(now - sandbox.created_at_ms)}
        </Text>
      </Group>
      <ol className={classes.steps}>
        {phases.map(({ phase, label }, index) => (
          <li
            key={phase}
            className={classes.step}
            aria-current={index === current ? 'step' : undefined}
          >
            {index < current && (
              <IconCircleCheckFilled size={15} color="var(--hx-bar-used)" aria-label="Done:" />
            )}
            {index === current && <Loader size={14} aria-hidden />}
            {index > current && <IconCircle size={15} aria-hidden />}
            {label}
          </li>
        ))}
      </ol>
    </Card>
  );
}

function Ended({ sandbox }: Props) {
  const { state, end } = sandbox;
  if (end == null || (state !== 'stopped' && state !== 'failed')) return null;
  if (state === 'stopped' && end.kind === 'requested') return null;
  const failed = state === 'failed';
  return (
    <Alert
      color={failed ? 'red' : 'yellow'}
      mb="lg"
      role={failed ? 'alert' : 'status'}
      title={failed ? 'It failed' : 'It was stopped'}
      style={{ overflowWrap: 'anywhere' }}
    >
      {sentence(end.message)} Its files are kept.
    </Alert>
  );
}

/** In place of what needs a sandbox that runs. */
export function NotRunning({ sandbox, what }: Props & { what: string }) {
  const { act, busy } = useLifecycle(sandbox);
  const { state, reachable } = sandbox;
  if (!reachable && state !== 'creating') {
    return (
      <EmptyState icon={IconZzz} title="The host cannot be reached">
        {what} as soon as it is back.
      </EmptyState>
    );
  }
  if (state === 'creating') {
    return (
      <EmptyState icon={IconZzz} title="Not ready yet">
        {what} in a moment, when the sandbox runs.
      </EmptyState>
    );
  }
  const paused = state === 'paused';
  return (
    <EmptyState
      icon={IconZzz}
      title={paused ? 'The sandbox is paused' : 'The sandbox does not run'}
      action={
        state !== 'deleted' && (
          <Button
            loading={busy}
            leftSection={<IconPlayerPlay size={15} />}
            onClick={() => {
              act(paused ? 'resume' : 'start');
            }}
          >
            {paused ? 'Resume' : 'Start'}
          </Button>
        )
      }
    >
      {what} while it runs.{' '}
      {paused ? 'Its processes stand still, in memory.' : 'Its files are kept.'}
    </EmptyState>
  );
}

/** Whether what is inside can be used. */
export const usable = (sandbox: Sandbox): boolean =>
  sandbox.state === 'running' && sandbox.reachable;
