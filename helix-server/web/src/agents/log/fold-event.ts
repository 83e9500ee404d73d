import { sentence } from '../../api/failure';
import type { AgentEvent, ToolCall, ToolContent, ToolUpdate } from '../../api/types';
import type { Draft } from './draft';
import { callKey, terminalKey, type ToolItem } from './view';

/** Something that the agent, or its host, said. What is not known is a line of the timeline. */
export function foldAgentEvent(draft: Draft, thread: string, event: AgentEvent): void {
  const { log } = draft;
  switch (event.type) {
    case 'agent':
      agentPhase(draft, event);
      break;
    case 'session':
      if (!event.resumed && log.hadSession) {
        const text = 'The agent began anew: it does not know what was said before.';
        draft.mark('agent', '', draft.add({ kind: 'notice', text, wrong: false }));
      }
      log.hadSession = true;
      break;
    case 'modes':
    case 'models': {
      const { type: what, current, available } = event;
      const name = available.find(({ id }) => id === current)?.name ?? current;
      if (log[what] && log[what].current !== current) {
        draft.mark('agent', `${what === 'modes' ? 'Mode' : 'Model'}: ${name}`);
      }
      log[what] = { current, available };
      break;
    }
    case 'commands':
      log.commands = event.available;
      break;
    case 'message':
    case 'thought':
      draft.speak(event.type, event.content);
      break;
    case 'tool_call':
      toolCall(draft, thread, event);
      break;
    case 'tool_update':
      toolUpdate(draft, thread, event);
      break;
    case 'terminal':
      draft.write(terminalKey(thread, event.terminal), event.output, event.omitted_bytes ?? 0);
      break;
    case 'terminal_ended':
      draft.terminal(terminalKey(thread, event.terminal)).ended = { code: event.code ?? null };
      draft.mark(
        'terminal',
        event.code == null ? 'A program was ended' : `A program ended with status ${event.code}`,
      );
      break;
    case 'plan':
      log.plan = event.entries;
      planned(draft);
      break;
    case 'permission_requested':
      permission(draft, thread, event);
      break;
    case 'usage':
      log.usage = {
        contextTokens: event.context_tokens,
        contextSize: event.context_size,
        cost: event.cost ?? null,
      };
      break;
    case 'title':
      draft.mark('agent', `Title: ${event.title}`);
      break;
    case 'notice':
      draft.mark('notice', '', draft.add({ kind: 'notice', text: event.text, wrong: false }));
      break;
    // The log says these in entries of their own.
    case 'turn_started':
    case 'turn_ended':
    case 'permission_resolved':
    case 'wanted':
    case 'closed':
      break;
    default:
      unknown(draft, event);
  }
}

/** What a later version says. */
function unknown(draft: Draft, { type }: { type: string }): void {
  draft.mark('notice', `Something that this page does not know: ${type}`);
}

type Of<K extends AgentEvent['type']> = Extract<AgentEvent, { type: K }>;

const PHASES = {
  starting: 'The agent starts',
  ready: 'The agent is ready',
  stopped: 'The agent stopped',
};

function agentPhase(draft: Draft, { phase, detail = '' }: Of<'agent'>): void {
  draft.log.phase = { phase, detail, atMs: draft.atMs };
  const text = detail === '' ? PHASES[phase] : `${PHASES[phase]}: ${detail}`;
  // Of an agent that ended by itself, people read in the conversation: once.
  if (phase === 'stopped' && detail !== '' && !isSaid(draft, detail)) {
    draft.mark('agent', '', draft.add({ kind: 'notice', text: sentence(text), wrong: true }));
  } else if (!draft.lastIs('agent', text)) {
    draft.mark('agent', text);
  }
}

/** Whether the turn that just ended gave this as its reason. */
function isSaid({ log }: Draft, detail: string): boolean {
  const last = log.items.at(-1);
  return last?.kind === 'end' && last.end.outcome === 'failed' && last.end.reason.includes(detail);
}

function planned(draft: Draft): void {
  const { plan } = draft.log;
  const done = plan.filter(({ status }) => status === 'completed').length;
  const now = plan.find(({ status }) => status === 'in_progress');
  const what = now ? `: ${now.content}` : '';
  draft.mark('plan', `Plan, ${done} of ${plan.length} done${what}`);
}

function toolCall(draft: Draft, thread: string, call: ToolCall): void {
  const made: Omit<ToolItem, 'seq' | 'atMs'> = {
    kind: 'tool',
    thread,
    id: call.id,
    title: call.title,
    tool: call.kind ?? 'other',
    status: call.status ?? 'pending',
    content: call.content ?? [],
    locations: call.locations ?? [],
    input: call.input ?? null,
    output: null,
    endedAtMs: null,
  };
  const key = callKey(thread, call.id);
  const known = draft.log.calls.get(key);
  // One with the same id gives way, unless it is of a turn before: some agents count anew.
  const item =
    known !== undefined && draft.log.open.includes(known) ? draft.change(known, 'tool') : undefined;
  if (item) {
    Object.assign(item, made);
  } else {
    const place = draft.add(made);
    draft.call(key, place);
    draft.mark('tool', '', place);
  }
  settle(draft, key);
}

function toolUpdate(draft: Draft, thread: string, update: ToolUpdate): number {
  const key = callKey(thread, update.id);
  const known = draft.log.calls.get(key);
  const item = draft.change(known, 'tool');
  if (!item || known === undefined) {
    const { id, title, kind, status, content, locations, input } = update;
    toolCall(draft, thread, {
      id,
      title: title ?? 'A tool',
      ...(kind && { kind }),
      ...(status && { status }),
      ...(content && { content }),
      ...(locations && { locations }),
      input,
    });
    const place = draft.log.calls.get(key) ?? 0;
    const made = draft.change(place, 'tool');
    if (made) made.output = update.output ?? null;
    return place;
  }
  if (update.title != null) item.title = update.title;
  if (update.kind != null) item.tool = update.kind;
  if (update.status != null) item.status = update.status;
  if (update.content != null) item.content = withChange(item.content, update.content);
  if (update.locations != null) item.locations = update.locations;
  if (update.input != null) item.input = update.input;
  if (update.output != null) item.output = update.output;
  settle(draft, key);
  return known;
}

const isChange = ({ type }: ToolContent) => type === 'diff';

/**
 * What a call shows next. Some agents say what they would change when they ask for it, and only
 * that it is done when it is: the change stays.
 */
function withChange(before: readonly ToolContent[], next: readonly ToolContent[]): ToolContent[] {
  return next.some(isChange) ? [...next] : [...before.filter(isChange), ...next];
}

const ENDED = { completed: 'Done', failed: 'Failed' };

/** Notes when a call is done. */
function settle(draft: Draft, key: string): void {
  const place = draft.log.calls.get(key);
  const known = place === undefined ? undefined : draft.log.items[place];
  if (known?.kind !== 'tool' || place === undefined || known.endedAtMs !== null) return;
  if (known.status !== 'completed' && known.status !== 'failed') return;
  const item = draft.change(place, 'tool');
  if (item) item.endedAtMs = draft.atMs;
  draft.mark('tool', ENDED[known.status], place);
}

function permission(draft: Draft, thread: string, event: Of<'permission_requested'>): void {
  const call = toolUpdate(draft, thread, event.call);
  const item = draft.log.items[call];
  const place = draft.add({
    kind: 'permission',
    thread,
    request: event.seq,
    title: item?.kind === 'tool' ? item.title : 'A tool',
    call,
    options: event.options,
    endsAtMs: null,
    answer: null,
  });
  draft.log.permissions = [...draft.log.permissions, place];
  draft.mark('permission', 'Asked', place);
}
