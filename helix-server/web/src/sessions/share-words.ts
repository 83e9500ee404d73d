import type { ShareRight } from '../api/types';

const HOUR = 3_600_000;

/** What a session is shared for. */
export const RIGHTS: { value: ShareRight; label: string; agent: string; chat: string }[] = [
  {
    value: 'read',
    label: 'See it',
    agent: 'The conversation as it goes, the desktop, the changes and the agent’s files.',
    chat: 'The conversation as it goes.',
  },
  {
    value: 'drive',
    label: 'Drive it',
    agent: 'Ask, answer and stop the agent, and use the sandbox as you do.',
    chat: 'Ask, and stop answers, on your account.',
  },
];

/** When a share may end, in milliseconds from when it is made. */
export const ENDS = [
  { value: '', label: 'When you end it' },
  { value: String(HOUR), label: 'In an hour' },
  { value: String(24 * HOUR), label: 'In a day' },
  { value: String(7 * 24 * HOUR), label: 'In a week' },
  { value: String(30 * 24 * HOUR), label: 'In 30 days' },
];
