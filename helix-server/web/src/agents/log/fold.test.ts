import { describe, expect, it } from 'vitest';

import type { AgentEntry, AgentEventBody, SessionEvent, ToolContent } from '../../api/types';
import { foldLog } from './fold';
import { EMPTY_LOG, openPermissions, terminalKey, type AgentLog, type Item } from './view';
import { momentText } from './words';

const THREAD = 'thr_1';

/** Numbers entries from 1 on, a second apart. */
function log(...entries: AgentEntry[]): SessionEvent[] {
  return entries.map((entry, index) => ({
    seq: index + 1,
    at_ms: 1_000 * (index + 1),
    type: 'agent',
    entry,
  }));
}

let seq = 0;
const said = (body: AgentEventBody, number = (seq += 1)): AgentEntry => ({
  type: 'agent',
  thread: THREAD,
  event: { seq: number, at_ms: 5, ...body },
});
const text = (words: string) => ({ type: 'text', text: words }) as const;
const queued = (turn: string, words: string, position = 0): AgentEntry => ({
  type: 'prompt_queued',
  prompt: { turn, content: [text(words)] },
  position,
});
const dispatched = (turn: string): AgentEntry => ({ type: 'turn_dispatched', turn });
const running = (turn: string): AgentEntry => ({ type: 'turn_running', turn });
const completed = (turn: string): AgentEntry => ({
  type: 'turn_ended',
  turn,
  outcome: 'completed',
  stop: 'end_turn',
});
const message = (words: string) => said({ type: 'message', content: text(words) });

function fold(start: AgentLog, events: SessionEvent[]): AgentLog {
  const folded = foldLog(start, events);
  if (folded.kind === 'gap') throw new Error('a gap was not expected');
  return folded.log;
}
const folded = (...entries: AgentEntry[]) => fold(EMPTY_LOG, log(...entries));
const kinds = ({ items }: AgentLog) => items.map(({ kind }) => kind);
const last = <K extends Item['kind']>({ items }: AgentLog, kind: K) =>
  items.findLast((item): item is Extract<Item, { kind: K }> => item.kind === kind);

const ASKED = {
  type: 'permission_requested',
  call: { id: 'c1', title: 'Write hello.txt' },
  options: [
    { id: 'yes', name: 'Allow', kind: 'allow_once' },
    { id: 'no', name: 'Reject', kind: 'reject_once' },
  ],
} satisfies AgentEventBody;

/** A turn with all that there is. */
const WHOLE: AgentEntry[] = [
  queued('t1', 'write hello.txt'),
  { type: 'thread_opened', thread: THREAD, resumes: false },
  dispatched('t1'),
  said({ type: 'agent', phase: 'starting', detail: 'installing opencode' }),
  said({ type: 'agent', phase: 'ready' }),
  said({ type: 'session', session: 's1', resumed: false }),
  running('t1'),
  said({ type: 'thought', content: text('I ') }),
  said({ type: 'thought', content: text('think 🦊') }),
  message('Let me '),
  said({ type: 'usage', context_tokens: 10, context_size: 100 }),
  message('write it.'),
  said({ type: 'tool_call', id: 'c1', title: 'Write hello.txt', kind: 'edit' }),
  said(ASKED, 40),
  { type: 'turn_awaiting', turn: 't1', request: 40, ends_at_ms: 99_000 },
  {
    type: 'permission_answered',
    thread: THREAD,
    request: 40,
    answer: { outcome: 'selected', option: 'yes' },
  },
  running('t1'),
  said({ type: 'tool_update', id: 'c1', status: 'in_progress' }),
  said({ type: 'terminal', terminal: 'x', output: 'one\n' }),
  said({ type: 'terminal', terminal: 'x', output: 'two\n' }),
  said({ type: 'terminal_ended', terminal: 'x', code: 0 }),
  said({
    type: 'tool_update',
    id: 'c1',
    status: 'completed',
    content: [{ type: 'diff', path: '/home/user/hello.txt', after: 'hello\n' }],
  }),
  said({
    type: 'plan',
    entries: [{ content: 'Write it', priority: 'high', status: 'completed' }],
  }),
  message('Done.'),
  completed('t1'),
];

describe('folding the log of an agent', () => {
  it('builds the conversation in order', () => {
    const view = folded(...WHOLE);
    const order = ['prompt', 'thought', 'message', 'tool', 'permission', 'message', 'end'];
    expect(kinds(view)).toEqual(order);
    expect(view.items[1]).toMatchObject({ parts: [text('I think 🦊')] });
    expect(view.items[2]).toMatchObject({ parts: [text('Let me write it.')] });
    expect(last(view, 'tool')).toMatchObject({ status: 'completed', tool: 'edit' });
    expect(last(view, 'end')).toMatchObject({ turn: 't1', tookMs: 22_000 });
    expect(view).toMatchObject({ turn: null, queue: [], phase: { phase: 'ready' } });
    expect(view.terminals.get(terminalKey(THREAD, 'x'))).toEqual({
      output: 'one\ntwo\n',
      omitted: 0,
      ended: { code: 0 },
    });
  });

  it('gives the same result whatever was already known, and changes nothing in place', () => {
    const events = log(...WHOLE);
    const whole = fold(EMPTY_LOG, events);
    for (let known = 0; known <= events.length; known += 1) {
      const start = fold(EMPTY_LOG, events.slice(0, known));
      const before = structuredClone(start);
      expect(fold(start, events)).toEqual(whole);
      expect(start).toEqual(before);
    }
    const one = events.reduce((view, event) => fold(view, [event]), EMPTY_LOG);
    expect(one).toEqual(whole);
  });

  it('keeps what did not change', () => {
    const events = log(...WHOLE);
    const before = fold(EMPTY_LOG, events.slice(0, -2));
    const after = fold(before, events);
    expect(after.items[3]).toBe(before.items[3]);
    expect(after.terminals).toBe(before.terminals);
  });

  it('reports a gap instead of guessing what was missed', () => {
    const events = log(...WHOLE);
    expect(foldLog(EMPTY_LOG, events.slice(1)).kind).toBe('gap');
    expect(foldLog(EMPTY_LOG, log(dispatched('t9'))).kind).toBe('gap');
  });

  it('passes over events that are no agent’s', () => {
    const updated: SessionEvent = {
      seq: 1,
      at_ms: 1,
      type: 'session_updated',
      title: 'hello',
      model: 'tiny',
    };
    expect(fold(EMPTY_LOG, [updated])).toMatchObject({ seq: 1, items: [] });
  });

  it('keeps the queue in order', () => {
    const view = folded(
      queued('t1', 'one'),
      queued('t2', 'two', 1),
      queued('t3', 'three', 2),
      { type: 'prompt_moved', turn: 't3', position: 0 },
      { type: 'prompt_edited', prompt: { turn: 't1', content: [text('uno')] } },
      { type: 'turn_ended', turn: 't2', outcome: 'cancelled' },
      { type: 'queue_held', because: 'interrupted' },
    );
    expect(view.queue.map(({ turn }) => turn)).toEqual(['t3', 't1']);
    expect(view.queue[1]?.content).toEqual([text('uno')]);
    expect(view.held).toBe('interrupted');
    expect(view.items).toEqual([]);
  });

  it('shows a prompt that failed before an agent had it, with the reason', () => {
    const view = folded(queued('t1', 'one'), {
      type: 'turn_ended',
      turn: 't1',
      outcome: 'failed',
      reason: 'the sandbox is gone',
    });
    expect(kinds(view)).toEqual(['prompt', 'end']);
    expect(last(view, 'end')).toMatchObject({ tookMs: null, end: { outcome: 'failed' } });
  });

  it('has a permission open until it is answered, with its end', () => {
    const asked = folded(...WHOLE.slice(0, 15));
    expect(asked.turn?.state).toBe('awaiting');
    expect(openPermissions(asked)).toMatchObject([{ request: 40, endsAtMs: 99_000 }]);
    const answered = folded(...WHOLE.slice(0, 17));
    expect(openPermissions(answered)).toEqual([]);
    expect(last(answered, 'permission')?.answer).toEqual({ outcome: 'selected', option: 'yes' });
    expect(answered.turn?.state).toBe('running');
  });

  it('counts down while a turn waits, until it goes on', () => {
    const waiting = folded(queued('t1', 'one'), dispatched('t1'), running('t1'), {
      type: 'turn_waiting',
      turn: 't1',
      waiting: 'agent',
      ends_at_ms: 60_000,
    });
    expect(waiting.turn?.waiting).toEqual({ what: 'agent', sinceMs: 4_000, endsAtMs: 60_000 });
    const more: SessionEvent = {
      seq: 5,
      at_ms: 9_000,
      type: 'agent',
      entry: { type: 'turn_goes_on', turn: 't1' },
    };
    expect(fold(waiting, [more]).turn?.waiting).toBeNull();
  });

  it('leaves no call at work after its turn, and lets another turn use its id', () => {
    const call = () => said({ type: 'tool_call', id: 'c1', title: 'Run', status: 'in_progress' });
    const view = folded(
      queued('t1', 'one'),
      dispatched('t1'),
      call(),
      { type: 'turn_ended', turn: 't1', outcome: 'cancelled' },
      queued('t2', 'two'),
      dispatched('t2'),
      call(),
      call(),
    );
    const calls = view.items.filter((item) => item.kind === 'tool');
    expect(calls.map(({ status }) => status)).toEqual(['unfinished', 'in_progress']);
  });

  it('keeps the change that a call was allowed when only that it is done is said', () => {
    const diff = { type: 'diff' as const, path: '/home/user/hello.txt', after: 'hello\n' };
    const done = { type: 'content' as const, content: { type: 'text' as const, text: 'Written.' } };
    const of = (status: 'pending' | 'completed', content: ToolContent[]) =>
      said({ type: 'tool_update', id: 'c1', status, content });
    const view = folded(of('pending', [diff]), of('completed', [done]));
    expect(last(view, 'tool')?.content).toEqual([diff, done]);
    const changed = { ...diff, after: 'other\n' };
    const told = folded(of('pending', [diff]), of('completed', [changed]));
    expect(last(told, 'tool')?.content).toEqual([changed]);
  });

  it('begins a call with an update that comes first', () => {
    const view = folded(said({ type: 'tool_update', id: 'c7', output: { ok: true } }));
    expect(last(view, 'tool')).toMatchObject({ id: 'c7', output: { ok: true } });
  });

  it('keeps the end of what a terminal writes', () => {
    const much = 'x'.repeat(200_000);
    const view = folded(
      ...Array.from({ length: 4 }, () =>
        said({ type: 'terminal', terminal: 'x', output: much, omitted_bytes: 0 }),
      ),
      said({ type: 'terminal', terminal: 'x', output: 'end', omitted_bytes: 0 }),
    );
    const terminal = view.terminals.get(terminalKey(THREAD, 'x'));
    expect(terminal?.output.endsWith('xend')).toBe(true);
    expect((terminal?.output.length ?? 0) + (terminal?.omitted ?? 0)).toBe(800_003);
    expect(terminal?.omitted).toBeGreaterThan(200_000);
  });

  it('knows how far the clone is, until the thread begins', () => {
    const begun = folded(
      queued('t1', 'one'),
      { type: 'cloning', what: '' },
      { type: 'cloning', what: 'Receiving objects', percent: 45 },
    );
    expect(begun.cloning).toMatchObject({ what: 'Receiving objects', percent: 45 });
    expect(begun.timeline.length).toBe(2);
    const opened = folded(
      queued('t1', 'one'),
      { type: 'cloning', what: '' },
      { type: 'thread_opened', thread: THREAD, resumes: false },
    );
    expect(opened.cloning).toBeNull();
  });

  it('says why an agent ended, and that a new one remembers nothing', () => {
    const session = () => said({ type: 'session', session: 's', resumed: false });
    const view = folded(
      session(),
      said({ type: 'agent', phase: 'stopped', detail: 'it exited with status 1' }),
      session(),
      { type: 'thread_over', thread: THREAD, reason: 'the host does not have it any more' },
    );
    expect(kinds(view)).toEqual(['notice', 'notice', 'notice']);
    expect(view.phase).toBeNull();
  });

  it('says why an agent ended once, where its turn ended for that', () => {
    const view = folded(
      queued('t1', 'one'),
      dispatched('t1'),
      { type: 'turn_ended', turn: 't1', outcome: 'failed', reason: 'the agent ended: code 1' },
      said({ type: 'agent', phase: 'stopped', detail: 'code 1' }),
    );
    expect(kinds(view)).toEqual(['prompt', 'end']);
    expect(view.timeline.at(-1)?.text).toBe('The agent stopped: code 1');
  });

  it('keeps a line for what a later version says', () => {
    const later = said({ type: 'dance' } as unknown as AgentEventBody);
    const view = folded(later);
    expect(view.timeline).toHaveLength(1);
    expect(view.timeline[0]?.text).toContain('dance');
  });

  it('has every step in the timeline, with what it is about', () => {
    const view = folded(...WHOLE);
    const lines = view.timeline.map((moment) => momentText(view, moment));
    expect(lines).toContain('Queued: write hello.txt');
    expect(lines).toContain('The agent starts: installing opencode');
    expect(lines).toContain('I think 🦊');
    expect(lines).toContain('Asked: Write hello.txt');
    expect(lines).toContain('Done: Write hello.txt');
    expect(lines).toContain('Plan, 1 of 1 done');
    expect(lines.at(-1)).toBe('Done, after 22 s');
    const times = view.timeline.map(({ seq: number }) => number);
    expect(times).toEqual([...times].sort((one, other) => one - other));
  });
});

describe('folding a long log', () => {
  it('takes time with its length, at once and piece by piece', () => {
    const entries: AgentEntry[] = [];
    for (let turn = 0; entries.length < 100_000; turn += 1) {
      const id = `t${turn}`;
      entries.push(queued(id, 'again'), dispatched(id), running(id));
      for (let call = 0; call < 40; call += 1) {
        for (let word = 0; word < 20; word += 1) entries.push(message('word '));
        const name = `c${turn}-${call}`;
        entries.push(said({ type: 'tool_call', id: name, title: 'Run' }));
        entries.push(said({ type: 'terminal', terminal: name, output: 'line\n' }));
        entries.push(said({ type: 'tool_update', id: name, status: 'completed' }));
      }
      entries.push(completed(id));
    }
    const events = log(...entries);
    const started = performance.now();
    const whole = fold(EMPTY_LOG, events);
    const atOnce = performance.now() - started;
    expect(whole.items.length).toBeGreaterThan(8_000);
    // Pieces as they come while an agent writes, at the end of the long log.
    let view = fold(EMPTY_LOG, events.slice(0, -2_000));
    const tail = performance.now();
    for (let from = events.length - 2_000; from < events.length; from += 4) {
      view = fold(view, events.slice(from, from + 4));
    }
    const pieces = performance.now() - tail;
    expect(view).toEqual(whole);
    // Orders of magnitude above what it takes: quadratic copies would take minutes.
    expect(atOnce, 'milliseconds for 100,000 events').toBeLessThan(5_000);
    expect(pieces, 'milliseconds for 500 pieces').toBeLessThan(5_000);
    if (process.env['HELIX_SHOW_SPEED']) {
      process.stdout.write(`at once ${atOnce.toFixed(0)} ms, pieces ${pieces.toFixed(0)} ms\n`);
    }
  });
});
