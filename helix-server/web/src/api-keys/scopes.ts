import type { Scope } from '../api/types';

/** What a key may be allowed. */
export const SCOPES: Record<Scope, { label: string; description: string }> = {
  inference: {
    label: 'Ask models',
    description: 'The OpenAI-compatible API under /v1',
  },
  sessions: {
    label: 'Chats',
    description: 'Your chats, their messages and events',
  },
  sandboxes: {
    label: 'Sandboxes',
    description: 'Your sandboxes, what runs in them, and snapshots',
  },
  admin: {
    label: 'Everything',
    description: 'All that your account may do, administration included',
  },
};
