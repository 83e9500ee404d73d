import { describe, expect, it } from 'vitest';

import type { Turn } from '../api/types';
import { toMessages, turnIdOf } from './convert';

const turn = (more: Partial<Turn> = {}): Turn => ({
  id: 'trn_1',
  session_id: 'ses_1',
  state: 'completed',
  user_content: 'ping',
  assistant_content: 'pong',
  model: 'tiny',
  created_at_ms: 1_000,
  ...more,
});

describe('turns as messages', () => {
  it('shows a turn as a question and an answer that lead back to it', () => {
    const messages = toMessages([turn()], null);
    expect(messages.map((message) => message.role)).toEqual(['user', 'assistant']);
    expect(messages.map((message) => turnIdOf(message.id))).toEqual(['trn_1', 'trn_1']);
  });

  it('keeps the messages of an unchanged turn, so that they are not rendered again', () => {
    const first = turn();
    const [question] = toMessages([first], null);
    const [same] = toMessages([first, turn({ id: 'trn_2' })], null);
    expect(same).toBe(question);
  });

  it.each([
    ['queued', 'running'],
    ['running', 'running'],
    ['completed', 'complete'],
    ['cancelled', 'incomplete'],
    ['failed', 'incomplete'],
  ] as const)('shows a %s turn as %s', (state, type) => {
    expect(toMessages([turn({ state })], null)[1]?.status?.type).toBe(type);
  });

  it('shows what is being sent, before it is a turn', () => {
    const messages = toMessages([turn()], 'and again?');
    expect(messages.at(-1)).toMatchObject({ role: 'user', content: 'and again?' });
    expect(turnIdOf(messages.at(-1)?.id)).toBeUndefined();
  });
});
