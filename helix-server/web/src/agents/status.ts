import type { Sandbox } from '../api/types';
import { PHASES } from '../sandboxes/sandbox-form';
import type { AgentLog } from './log/view';
import { HELD } from './log/words';

/** What the page says first: where the agent is, and why. */
export interface AgentStatus {
  text: string;
  tone: 'idle' | 'busy' | 'wait' | 'wrong';
  /** Since when it is so, where that is worth a word. */
  sinceMs?: number;
  /** When what is waited for is given up. */
  endsAtMs?: number;
  /** What somebody can do about it. */
  action?: 'keep-waiting' | 'start-sandbox' | 'resume-sandbox';
}

/** An agent takes its time to start: the end of that is worth a word after this long only. */
const PATIENCE_MS = 60_000;

export function statusOf(
  log: AgentLog,
  sandbox: Pick<Sandbox, 'state' | 'phase' | 'reachable' | 'end'> | null,
  nowMs: number,
): AgentStatus {
  const why = sandboxStatus(sandbox) ?? turnStatus(log, nowMs);
  if (why) return why;
  if (!sandbox?.reachable) return { text: 'The sandbox’s host is away', tone: 'wrong' };
  return restStatus(log);
}

function sandboxStatus(
  sandbox: Pick<Sandbox, 'state' | 'phase' | 'reachable' | 'end'> | null,
): AgentStatus | null {
  if (!sandbox || sandbox.state === 'deleted') {
    return { text: 'The sandbox was deleted', tone: 'wrong' };
  }
  const why = sandbox.end ? `: ${sandbox.end.message}` : '';
  switch (sandbox.state) {
    case 'creating': {
      const phase = PHASES.find((each) => each.phase === sandbox.phase)?.label;
      return { text: `Making the sandbox${phase ? `: ${lower(phase)}` : ''}…`, tone: 'busy' };
    }
    case 'paused':
      return { text: 'The sandbox is paused', tone: 'wait', action: 'resume-sandbox' };
    case 'stopped':
      return { text: `The sandbox is stopped${why}`, tone: 'wait', action: 'start-sandbox' };
    case 'failed':
      return { text: `The sandbox failed${why}`, tone: 'wrong', action: 'start-sandbox' };
    case 'running':
      return null;
  }
}

function turnStatus(
  { turn, phase, permissions, cloning }: AgentLog,
  nowMs: number,
): AgentStatus | null {
  if (cloning) {
    const { what, percent, sinceMs } = cloning;
    const step = what === '' ? '' : `: ${lower(what)}`;
    const share = percent === null ? '' : `, ${percent} %`;
    return { text: `Cloning the repository${step}${share}…`, tone: 'busy', sinceMs };
  }
  if (!turn) return null;
  const { waiting } = turn;
  const ends = waiting ? { endsAtMs: waiting.endsAtMs } : {};
  switch (waiting?.what) {
    case 'host':
      return { text: 'The sandbox’s host is away', tone: 'wrong', ...ends };
    case 'agent':
      return { text: 'The agent is silent', tone: 'wait', ...ends, action: 'keep-waiting' };
    case 'cancel':
      return { text: 'The agent is asked to stop', tone: 'wait', ...ends };
    case 'start':
    case undefined:
      break;
  }
  const late = waiting && nowMs - waiting.sinceMs >= PATIENCE_MS ? ends : {};
  if (phase?.phase === 'starting') {
    const detail = phase.detail === '' ? '' : `: ${phase.detail.replace(/…$|\.+$/, '')}`;
    return { text: `Starting the agent${detail}…`, tone: 'busy', sinceMs: phase.atMs, ...late };
  }
  if (permissions.length > 0) return { text: 'The agent waits for an answer', tone: 'wait' };
  if (turn.state === 'dispatched') {
    return { text: 'The agent is given the prompt…', tone: 'busy', ...late };
  }
  return { text: 'Working', tone: 'busy', sinceMs: turn.startedAtMs };
}

function restStatus({ phase, queue, held }: AgentLog): AgentStatus {
  if (held && queue.length > 0) {
    return { text: `The queue waits: ${HELD[held]}`, tone: 'wait' };
  }
  if (phase?.phase === 'starting') {
    const detail = phase.detail === '' ? '' : `: ${phase.detail}`;
    return { text: `Starting the agent${detail}`, tone: 'busy', sinceMs: phase.atMs };
  }
  if (queue.length > 0) {
    return { text: 'Waiting for the sandbox’s host to take the prompt…', tone: 'busy' };
  }
  switch (phase?.phase) {
    case 'ready':
      return { text: 'Ready', tone: 'idle' };
    // Why, the conversation says.
    case 'stopped':
      return { text: 'The agent is stopped; the next prompt starts it', tone: 'idle' };
    case undefined:
      return { text: 'The agent starts with the next prompt', tone: 'idle' };
  }
}

const lower = (text: string) => text.charAt(0).toLowerCase() + text.slice(1);

/** `583000` → `9:43`. */
export function countDown(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor((seconds % 3_600) / 60);
  const two = (part: number) => String(part).padStart(2, '0');
  const rest = `${two(minutes)}:${two(seconds % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest.replace(/^0/, '');
}
