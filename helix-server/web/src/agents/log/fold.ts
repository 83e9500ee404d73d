import { sentence } from '../../api/failure';
import type { AgentEntry, QueuedPrompt, SessionEvent, TurnEnd } from '../../api/types';
import { Draft } from './draft';
import { foldAgentEvent } from './fold-event';
import type { AgentLog, Flight, Item } from './view';
import { contentText, HELD, WAITING } from './words';

/** What folding led to. */
export type Folded =
  | { kind: 'folded'; log: AgentLog }
  /** An event is missing, or speaks of what is not known: read the log from its beginning. */
  | { kind: 'gap' };

/**
 * Folds events of a session's log, in order, into what a page shows. Events that are in already,
 * or are no agent's, are passed over. `start` stays as it is; its parts that do not change are in what is answered.
 */
export function foldLog(start: AgentLog, events: readonly SessionEvent[]): Folded {
  const draft = new Draft(start);
  for (const event of events) {
    if (event.seq <= draft.log.seq) continue;
    if (event.seq !== draft.log.seq + 1) return { kind: 'gap' };
    draft.seq = event.seq;
    draft.atMs = event.at_ms;
    if (event.type === 'agent' && !foldEntry(draft, event.entry)) return { kind: 'gap' };
    draft.log.seq = event.seq;
  }
  return { kind: 'folded', log: draft.log };
}

/** False: it speaks of what is not known. */
function foldEntry(draft: Draft, entry: AgentEntry): boolean {
  const { log } = draft;
  switch (entry.type) {
    case 'prompt_queued':
      log.queue = log.queue.toSpliced(entry.position, 0, entry.prompt);
      draft.mark('queue', `Queued: ${contentText(entry.prompt.content)}`);
      return true;
    case 'prompt_edited':
      if (!isQueued(draft, entry.prompt.turn)) return false;
      log.queue = log.queue.map((each) => (each.turn === entry.prompt.turn ? entry.prompt : each));
      draft.mark('queue', `Reworded: ${contentText(entry.prompt.content)}`);
      return true;
    case 'prompt_moved': {
      const prompt = takeOut(draft, entry.turn);
      if (!prompt) return false;
      log.queue = log.queue.toSpliced(entry.position, 0, prompt);
      draft.mark('queue', `Moved to place ${entry.position + 1}: ${contentText(prompt.content)}`);
      return true;
    }
    case 'queue_held':
      log.held = entry.because;
      draft.mark('queue', `The queue waits: ${HELD[entry.because]}`);
      return true;
    case 'queue_released':
      log.held = null;
      draft.mark('queue', 'The queue goes on');
      return true;
    case 'turn_dispatched':
      return dispatch(draft, entry.turn);
    case 'turn_running':
      return fly(draft, entry.turn, { state: 'running', waiting: null });
    case 'turn_awaiting':
      return awaitAnswer(draft, entry);
    case 'turn_waiting': {
      const { waiting: what, ends_at_ms: endsAtMs } = entry;
      draft.mark('turn', WAITING[what]);
      return fly(draft, entry.turn, { waiting: { what, sinceMs: draft.atMs, endsAtMs } });
    }
    case 'turn_goes_on':
      return fly(draft, entry.turn, { waiting: null });
    case 'turn_ended':
      endTurn(draft, entry.turn, entry);
      return true;
    case 'agent':
      foldAgentEvent(draft, entry.thread, entry.event);
      return true;
    case 'permission_answered':
      answer(draft, entry);
      return true;
    case 'cloning':
      if (!log.cloning) draft.mark('agent', 'The repository is cloned');
      log.cloning = {
        what: entry.what,
        percent: entry.percent ?? null,
        sinceMs: log.cloning?.sinceMs ?? draft.atMs,
      };
      return true;
    case 'thread_opened':
      log.cloning = null;
      draft.mark('agent', entry.resumes ? 'The agent is asked to go on' : 'An agent was asked for');
      return true;
    case 'thread_over':
      threadOver(draft, entry.reason, entry.wanted === true);
      return true;
  }
}

const isQueued = ({ log }: Draft, turn: string) => log.queue.some((each) => each.turn === turn);

function takeOut({ log }: Draft, turn: string): QueuedPrompt | undefined {
  const prompt = log.queue.find((each) => each.turn === turn);
  if (prompt) log.queue = log.queue.filter((each) => each !== prompt);
  return prompt;
}

/** The prompt leaves the queue and is seen in the conversation. */
function say(draft: Draft, { turn, content, wanted }: QueuedPrompt): void {
  const fromEditor = wanted != null;
  draft.mark('prompt', '', draft.add({ kind: 'prompt', turn, content, fromEditor }));
}

function dispatch(draft: Draft, turn: string): boolean {
  const prompt = takeOut(draft, turn);
  if (!prompt) return false;
  say(draft, prompt);
  draft.log.turn = { id: turn, state: 'dispatched', startedAtMs: draft.atMs, waiting: null };
  return true;
}

function fly({ log }: Draft, turn: string, change: Partial<Flight>): boolean {
  if (log.turn?.id !== turn) return false;
  log.turn = { ...log.turn, ...change };
  return true;
}

type Awaiting = Extract<AgentEntry, { type: 'turn_awaiting' }>;

function awaitAnswer(draft: Draft, entry: Awaiting): boolean {
  const place = draft.log.permissions.findLast((at) => {
    const item = draft.log.items[at];
    return item?.kind === 'permission' && item.request === entry.request;
  });
  const item = draft.change(place, 'permission');
  if (item) item.endsAtMs = entry.ends_at_ms;
  return fly(draft, entry.turn, { state: 'awaiting', waiting: null });
}

function endTurn(draft: Draft, turn: string, end: TurnEnd): void {
  const { log } = draft;
  const queued = takeOut(draft, turn);
  if (queued && end.outcome === 'cancelled') {
    draft.mark('queue', `Removed: ${contentText(queued.content)}`);
    return;
  }
  // It failed before an agent had it: what was asked is shown with the reason.
  if (queued) say(draft, queued);
  const flight = log.turn?.id === turn ? log.turn : null;
  if (flight) {
    for (const place of log.open) {
      if (!isAtWork(log.items[place])) continue;
      const call = draft.change(place, 'tool');
      if (call) call.status = 'unfinished';
    }
    log.open = [];
    log.turn = null;
  }
  const tookMs = flight ? draft.atMs - flight.startedAtMs : null;
  draft.mark('turn', '', draft.add({ kind: 'end', turn, end, tookMs }));
}

const isAtWork = (item: Item | undefined) =>
  item?.kind === 'tool' && (item.status === 'pending' || item.status === 'in_progress');

type Answered = Extract<AgentEntry, { type: 'permission_answered' }>;

function answer(draft: Draft, { thread, request, answer: given }: Answered): void {
  const { log } = draft;
  const place = log.permissions.find((at) => {
    const item = log.items[at];
    return item?.kind === 'permission' && item.thread === thread && item.request === request;
  });
  const item = draft.change(place, 'permission');
  if (!item || place === undefined) return;
  item.answer = given;
  log.permissions = log.permissions.filter((at) => at !== place);
  draft.mark('permission', '', place);
}

function threadOver(draft: Draft, reason: string, wanted: boolean): void {
  const text = wanted
    ? sentence(reason)
    : `The agent’s thread is over: ${reason}. The next prompt opens another.`;
  draft.mark('agent', '', draft.add({ kind: 'notice', text, wrong: !wanted }));
  draft.log.phase = null;
}
