import type { SessionEvent, SessionMessages, Turn } from '../api/types';

/** What folding events into a session led to. */
export type Folded =
  | { kind: 'folded'; messages: SessionMessages }
  /** An event is missing, or names what is not known: fetch the session again. */
  | { kind: 'gap' };

/**
 * Folds events of a session's log, in order, into the turns as they stand. Events that are
 * already in are skipped; nothing is changed in place.
 */
export function foldEvents(
  sessionId: string,
  start: SessionMessages,
  events: readonly SessionEvent[],
): Folded {
  let messages = start;
  for (const event of events) {
    if (event.seq <= messages.seq) continue;
    if (event.seq !== messages.seq + 1) return { kind: 'gap' };
    const turns = foldTurns(sessionId, messages.turns, event);
    if (!turns) return { kind: 'gap' };
    messages = { seq: event.seq, turns };
  }
  return { kind: 'folded', messages };
}

function foldTurns(sessionId: string, turns: Turn[], event: SessionEvent): Turn[] | null {
  switch (event.type) {
    // Those of an agent are no turns of a chat.
    case 'agent':
    case 'session_updated':
      return turns;
    case 'turn_started':
      return startTurn(sessionId, turns, event);
    case 'turn_waiting':
      return change(turns, event.turn_id, () => ({ waiting_for: event.reason }));
    case 'turn_running':
      return change(turns, event.turn_id, () => ({ state: 'running', waiting_for: null }));
    case 'turn_delta':
      return change(turns, event.turn_id, (turn) => ({
        assistant_content: turn.assistant_content + event.text,
      }));
    case 'turn_ended':
      return change(turns, event.turn_id, () => ({
        state: event.state,
        error: event.error ?? null,
        usage: event.usage ?? null,
        waiting_for: null,
        ended_at_ms: event.at_ms,
      }));
  }
}

type Started = Extract<SessionEvent, { type: 'turn_started' }>;

function startTurn(sessionId: string, turns: Turn[], event: Started): Turn[] | null {
  let kept = turns.filter((turn) => turn.id !== event.turn_id);
  if (event.replaces != null) {
    const first = kept.findIndex((turn) => turn.id === event.replaces);
    // Whoever already shows the new turn has dropped the replaced one.
    if (first === -1 && kept.length === turns.length) return null;
    if (first !== -1) kept = kept.slice(0, first);
  }
  const turn: Turn = {
    id: event.turn_id,
    session_id: sessionId,
    state: 'queued',
    user_content: event.user_content,
    assistant_content: '',
    model: event.model,
    created_at_ms: event.at_ms,
  };
  return [...kept, turn];
}

function change(turns: Turn[], id: string, patch: (turn: Turn) => Partial<Turn>): Turn[] | null {
  const index = turns.findIndex((turn) => turn.id === id);
  const turn = turns[index];
  if (!turn) return null;
  const changed = [...turns];
  changed[index] = { ...turn, ...patch(turn) };
  return changed;
}

/**
 * Shows a turn that was just begun before its event arrives. Its answer is left out: the log
 * brings it.
 */
export function withBegunTurn(
  messages: SessionMessages,
  begun: Turn,
  replaces?: string,
): SessionMessages {
  if (messages.turns.some((turn) => turn.id === begun.id)) return messages;
  const first = messages.turns.findIndex((turn) => turn.id === replaces);
  const kept = first === -1 ? messages.turns : messages.turns.slice(0, first);
  return { ...messages, turns: [...kept, { ...begun, assistant_content: '', state: 'queued' }] };
}

/** The turn in flight, if any. */
export function activeTurn(turns: readonly Turn[]): Turn | undefined {
  return turns.findLast((turn) => turn.state === 'queued' || turn.state === 'running');
}
