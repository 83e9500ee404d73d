import type { ThreadMessageLike } from '@assistant-ui/react';

import type { Turn } from '../api/types';

/** The parts of a message's id: a turn shows as a question and an answer. */
type Half = 'question' | 'answer';

const messageId = (turnId: string, half: Half) => `${turnId}:${half}`;

/** The turn that a message is half of; undefined for one that is not begun yet. */
export function turnIdOf(id: string | null | undefined): string | undefined {
  const [turnId, half] = id?.split(':') ?? [];
  return half === 'question' || half === 'answer' ? turnId : undefined;
}

const converted = new WeakMap<Turn, ThreadMessageLike[]>();

/** The messages of a conversation; those of a turn that did not change stay the same objects. */
export function toMessages(turns: readonly Turn[], sending: string | null): ThreadMessageLike[] {
  const messages = turns.flatMap((turn) => {
    const known = converted.get(turn) ?? toPair(turn);
    converted.set(turn, known);
    return known;
  });
  if (sending === null) return messages;
  return [...messages, { id: 'sending', role: 'user', content: sending }];
}

function toPair(turn: Turn): ThreadMessageLike[] {
  const createdAt = new Date(turn.created_at_ms);
  return [
    {
      id: messageId(turn.id, 'question'),
      role: 'user',
      content: turn.user_content,
      createdAt,
      metadata: { custom: { turn } },
    },
    {
      id: messageId(turn.id, 'answer'),
      role: 'assistant',
      content: [{ type: 'text', text: turn.assistant_content }],
      createdAt,
      status: toStatus(turn),
      metadata: { custom: { turn } },
    },
  ];
}

function toStatus(turn: Turn): NonNullable<ThreadMessageLike['status']> {
  switch (turn.state) {
    case 'queued':
    case 'running':
      return { type: 'running' };
    case 'completed':
      return { type: 'complete', reason: 'stop' };
    case 'cancelled':
      return { type: 'incomplete', reason: 'cancelled' };
    case 'failed':
      return { type: 'incomplete', reason: 'error', error: turn.error ?? 'no reason was given' };
  }
}
