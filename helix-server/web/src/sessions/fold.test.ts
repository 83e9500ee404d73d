import { describe, expect, it } from 'vitest';

import type { SessionEvent, SessionMessages, Turn } from '../api/types';
import { activeTurn, foldEvents, withBegunTurn } from './fold';

const SESSION = 'ses_1';
const EMPTY: SessionMessages = { seq: 0, turns: [] };

/** Numbers bodies from `first` on. */
function log(first: number, ...bodies: object[]): SessionEvent[] {
  return bodies.map((body, index) => ({
    seq: first + index,
    at_ms: 1_000 + first + index,
    ...body,
  })) as SessionEvent[];
}

function started(id: string, question: string, replaces?: string): object {
  return {
    type: 'turn_started',
    turn_id: id,
    user_content: question,
    model: 'tiny',
    ...(replaces && { replaces }),
  };
}
const delta = (id: string, text: string) => ({ type: 'turn_delta', turn_id: id, text });
const ended = (id: string, state: string, error?: string) => ({
  type: 'turn_ended',
  turn_id: id,
  state,
  ...(error && { error }),
});

function fold(start: SessionMessages, events: SessionEvent[]): SessionMessages {
  const folded = foldEvents(SESSION, start, events);
  if (folded.kind === 'gap') throw new Error('a gap was not expected');
  return folded.messages;
}

const ANSWERED = log(
  1,
  started('trn_1', 'ping'),
  { type: 'turn_running', turn_id: 'trn_1' },
  delta('trn_1', 'po'),
  delta('trn_1', 'ng 🦊'),
  ended('trn_1', 'completed'),
);

describe('folding events', () => {
  it('builds the answer from its deltas', () => {
    const { seq, turns } = fold(EMPTY, ANSWERED);
    expect(seq).toBe(5);
    expect(turns).toHaveLength(1);
    expect(turns[0]).toMatchObject({
      session_id: SESSION,
      state: 'completed',
      user_content: 'ping',
      assistant_content: 'pong 🦊',
      ended_at_ms: 1_005,
    });
  });

  it('gives the same result whatever was already known', () => {
    const whole = fold(EMPTY, ANSWERED);
    for (let known = 0; known <= ANSWERED.length; known += 1) {
      const snapshot = fold(EMPTY, ANSWERED.slice(0, known));
      expect(fold(snapshot, ANSWERED)).toEqual(whole);
    }
  });

  it('reports a gap instead of guessing what was missed', () => {
    const [first, , third] = ANSWERED;
    expect(foldEvents(SESSION, EMPTY, [first, third] as SessionEvent[]).kind).toBe('gap');
  });

  it('reports a gap when an event names a turn that is not known', () => {
    expect(foldEvents(SESSION, EMPTY, log(1, delta('trn_9', 'x'))).kind).toBe('gap');
  });

  it('shows why a queued turn waits, until it runs', () => {
    const waiting = fold(
      EMPTY,
      log(1, started('trn_1', 'ping'), {
        type: 'turn_waiting',
        turn_id: 'trn_1',
        reason: 'tiny is starting',
      }),
    );
    expect(waiting.turns[0]).toMatchObject({ state: 'queued', waiting_for: 'tiny is starting' });
    const running = fold(waiting, log(3, { type: 'turn_running', turn_id: 'trn_1' }));
    expect(running.turns[0]).toMatchObject({ state: 'running', waiting_for: null });
  });

  it('keeps what was answered when a turn fails, and says why', () => {
    const { turns } = fold(
      EMPTY,
      log(1, started('trn_1', 'ping'), delta('trn_1', 'po'), ended('trn_1', 'failed', 'crashed')),
    );
    expect(turns[0]).toMatchObject({
      state: 'failed',
      assistant_content: 'po',
      error: 'crashed',
    });
  });

  it('drops the replaced turn and all after it', () => {
    const before = fold(EMPTY, [
      ...ANSWERED,
      ...log(6, started('trn_2', 'second'), ended('trn_2', 'completed')),
      ...log(8, started('trn_3', 'third'), ended('trn_3', 'completed')),
    ]);
    const after = fold(before, log(10, started('trn_4', 'second, reworded', 'trn_2')));
    expect(after.turns.map((turn) => turn.id)).toEqual(['trn_1', 'trn_4']);
  });

  it('changes nothing in place', () => {
    const before = fold(EMPTY, ANSWERED);
    const frozen = structuredClone(before);
    fold(before, log(6, started('trn_2', 'again', 'trn_1')));
    expect(before).toEqual(frozen);
  });
});

describe('a turn that was just begun', () => {
  const begun: Turn = {
    id: 'trn_2',
    session_id: SESSION,
    state: 'running',
    user_content: 'again',
    assistant_content: 'already something',
    model: 'tiny',
    created_at_ms: 2_000,
  };

  it('is not doubled by its event, nor is its answer', () => {
    const shown = withBegunTurn(fold(EMPTY, ANSWERED), begun);
    expect(shown.turns[1]?.assistant_content).toBe('');
    const { turns } = fold(
      shown,
      log(6, started('trn_2', 'again'), delta('trn_2', 'already'), delta('trn_2', ' something')),
    );
    expect(turns.map((turn) => turn.assistant_content)).toEqual(['pong 🦊', 'already something']);
  });

  it('takes the place of the turn that it replaces, before and after its event', () => {
    const shown = withBegunTurn(fold(EMPTY, ANSWERED), begun, 'trn_1');
    expect(shown.turns.map((turn) => turn.id)).toEqual(['trn_2']);
    const after = fold(shown, log(6, started('trn_2', 'again', 'trn_1')));
    expect(after.turns.map((turn) => turn.id)).toEqual(['trn_2']);
  });

  it('changes nothing when its event came first', () => {
    const folded = fold(EMPTY, [...ANSWERED, ...log(6, started('trn_2', 'again'))]);
    expect(withBegunTurn(folded, begun)).toBe(folded);
  });

  it('is the active one', () => {
    expect(activeTurn(fold(EMPTY, ANSWERED).turns)).toBeUndefined();
    expect(activeTurn(withBegunTurn(EMPTY, begun).turns)?.id).toBe('trn_2');
  });
});
