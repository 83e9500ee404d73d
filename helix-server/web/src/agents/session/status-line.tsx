import { Button, Loader } from '@mantine/core';

import type { Sandbox } from '../../api/types';
import { useNow } from '../../components/time';
import { formatDuration } from '../../format';
import { useLifecycle } from '../../sandboxes/lifecycle';
import { useDrives } from '../../sessions/right';
import type { AgentLog } from '../log/view';
import { countDown, statusOf, type AgentStatus } from '../status';
import type { Agent } from '../use-agent';
import classes from './session.module.css';

interface Props {
  log: AgentLog;
  sandbox: Sandbox | null;
  agent: Agent;
}

/** Where the agent is, why, for how long, and what can be done about it. */
export function StatusLine({ log, sandbox, agent }: Props) {
  const now = useNow();
  const drives = useDrives();
  const status = statusOf(log, sandbox, now);
  const since = status.sinceMs === undefined ? 0 : now - status.sinceMs;
  return (
    <div className={classes.status}>
      {status.tone === 'busy' ? (
        <Loader size={14} aria-hidden />
      ) : (
        <span className={classes.dot} data-tone={status.tone} aria-hidden />
      )}
      <span className={classes.statusText}>
        <span role="status">{status.text}</span>
        {/* Read out once, not each second. */}
        <span aria-hidden>
          {since >= 3_000 && ` · ${formatDuration(since)}`}
          {status.endsAtMs !== undefined && `, ends in ${countDown(status.endsAtMs - now)}`}
        </span>
      </span>
      {drives && <Remedy status={status} sandbox={sandbox} agent={agent} />}
    </div>
  );
}

function Remedy(props: { status: AgentStatus; sandbox: Sandbox | null; agent: Agent }) {
  const { status, sandbox, agent } = props;
  switch (status.action) {
    case 'keep-waiting':
      return (
        <Button size="compact-xs" variant="default" onClick={() => void agent.keepWaiting()}>
          Keep waiting
        </Button>
      );
    case 'start-sandbox':
    case 'resume-sandbox':
      return sandbox ? (
        <Wake sandbox={sandbox} paused={status.action === 'resume-sandbox'} />
      ) : null;
    default:
      return null;
  }
}

function Wake({ sandbox, paused }: { sandbox: Sandbox; paused: boolean }) {
  const { act, busy } = useLifecycle(sandbox);
  return (
    <Button
      size="compact-xs"
      variant="default"
      loading={busy}
      onClick={() => {
        act(paused ? 'resume' : 'start');
      }}
    >
      {paused ? 'Resume the sandbox' : 'Start the sandbox'}
    </Button>
  );
}
