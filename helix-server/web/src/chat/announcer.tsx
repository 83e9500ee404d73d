import { VisuallyHidden } from '@mantine/core';

import type { Turn } from '../api/types';

/**
 * Tells people who listen where the last answer is. The text itself is read once it is whole:
 * read out token by token, nobody could follow it.
 */
export function Announcer({ turns }: { turns: Turn[] | undefined }) {
  const last = turns?.at(-1);
  return (
    <VisuallyHidden role="status" aria-live="polite">
      {last ? announcement(last) : ''}
    </VisuallyHidden>
  );
}

function announcement(turn: Turn): string {
  switch (turn.state) {
    case 'queued':
      return turn.waiting_for == null ? 'Question sent.' : `Waiting: ${turn.waiting_for}`;
    case 'running':
      return 'Answering.';
    case 'completed':
      return `Answer: ${turn.assistant_content}`;
    case 'cancelled':
      return 'Answer stopped.';
    case 'failed':
      return `The answer failed: ${turn.error ?? ''}`;
  }
}
