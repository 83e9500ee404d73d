import { describe, expect, it } from 'vitest';

import { EMPTY_LOG, type AgentLog } from './log/view';
import { countDown, statusOf } from './status';

const RUNNING = { state: 'running', reachable: true } as const;
const AT_WORK: AgentLog = {
  ...EMPTY_LOG,
  turn: { id: 't1', state: 'running', startedAtMs: 1_000, waiting: null },
};
const waits = (what: 'start' | 'agent' | 'host', more: Partial<AgentLog> = {}): AgentLog => ({
  ...AT_WORK,
  turn: {
    id: 't1',
    state: 'running',
    startedAtMs: 1_000,
    waiting: { what, sinceMs: 1_000, endsAtMs: 900_000 },
  },
  ...more,
});

describe('where an agent is', () => {
  it('says what stands in the way of all else first', () => {
    const creating = { state: 'creating', phase: 'guest', reachable: false } as const;
    expect(statusOf(EMPTY_LOG, creating, 0).text).toBe('Making the sandbox: starting it…');
    expect(statusOf(AT_WORK, null, 0)).toMatchObject({ tone: 'wrong' });
    const idle = {
      state: 'stopped',
      reachable: true,
      end: { kind: 'idle', message: 'nobody used it' },
    } as const;
    expect(statusOf(AT_WORK, idle, 0)).toMatchObject({
      text: 'The sandbox is stopped: nobody used it',
      action: 'start-sandbox',
    });
  });

  it('gives the reason for a start, and its end only when it takes long', () => {
    const phase = { phase: 'starting', detail: 'installing…', atMs: 2_000 } as const;
    const soon = statusOf(waits('start', { phase }), RUNNING, 10_000);
    expect(soon).toEqual({ text: 'Starting the agent: installing…', tone: 'busy', sinceMs: 2_000 });
    expect(statusOf(waits('start', { phase }), RUNNING, 70_000).endsAtMs).toBe(900_000);
  });

  it('says how far git is with the repository', () => {
    const cloning = { what: '', percent: null, sinceMs: 2_000 };
    expect(statusOf({ ...AT_WORK, cloning }, RUNNING, 0)).toEqual({
      text: 'Cloning the repository…',
      tone: 'busy',
      sinceMs: 2_000,
    });
    const far = { ...cloning, what: 'Receiving objects', percent: 45 };
    expect(statusOf({ ...AT_WORK, cloning: far }, RUNNING, 0).text).toBe(
      'Cloning the repository: receiving objects, 45 %…',
    );
  });

  it('counts silence down, which can be borne with', () => {
    expect(statusOf(waits('agent'), RUNNING, 0)).toMatchObject({
      endsAtMs: 900_000,
      action: 'keep-waiting',
    });
    expect(statusOf(waits('host'), RUNNING, 0)).toMatchObject({ tone: 'wrong', endsAtMs: 900_000 });
  });

  it('tells work from a question and from rest', () => {
    expect(statusOf(AT_WORK, RUNNING, 0)).toMatchObject({ text: 'Working', sinceMs: 1_000 });
    const asked = statusOf({ ...AT_WORK, permissions: [3] }, RUNNING, 0);
    expect(asked).toMatchObject({ tone: 'wait' });
    expect(statusOf(EMPTY_LOG, RUNNING, 0).tone).toBe('idle');
    const held: AgentLog = { ...EMPTY_LOG, held: 'failed', queue: [{ turn: 't', content: [] }] };
    expect(statusOf(held, RUNNING, 0).text).toBe('The queue waits: the turn before failed');
  });
});

describe('a count-down', () => {
  it('is read as a clock', () => {
    expect(countDown(581_000)).toBe('9:41');
    expect(countDown(12 * 3_600_000)).toBe('12:00:00');
    expect(countDown(-5)).toBe('0:00');
  });
});
