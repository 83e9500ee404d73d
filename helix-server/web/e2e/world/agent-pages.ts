/** Sessions with agents in many states, for looking at their pages without a host. */
import type { Page, WebSocketRoute } from '@playwright/test';

import { sandboxPath, withSandboxes } from './sandbox-pages';

const NOW = Date.now();
const THREAD = `thr_${'0'.repeat(26)}`;
const LONG = 'W'.repeat(100);

interface Entry {
  type: string;
  [field: string]: unknown;
}

let said = 0;
const says = (type: string, fields: object = {}): Entry => ({
  type: 'agent',
  thread: THREAD,
  event: { seq: (said += 1), at_ms: NOW, type, ...fields },
});
const text = (words: string) => ({ type: 'text', text: words });
const queued = (turn: string, words: string, position = 0): Entry => ({
  type: 'prompt_queued',
  prompt: { turn, content: [text(words)] },
  position,
});
const begun = (turn: string, words: string): Entry[] => [
  queued(turn, words),
  { type: 'turn_dispatched', turn },
  { type: 'turn_running', turn },
];
const ended = (turn: string): Entry => ({
  type: 'turn_ended',
  turn,
  outcome: 'completed',
  stop: 'end_turn',
});

const CALL = {
  id: 'call_2',
  title: 'Write src/greeting.ts',
  kind: 'edit',
  content: [
    {
      type: 'diff',
      path: '/home/user/app/src/greeting.ts',
      before: 'export function greet(name: string) {\n  return "hello " + name;\n}\n',
      after:
        'export function greet(name: string): string {\n  return `Hello, ${name}!`;\n}\n\nexport const EVERYBODY = "everybody";\n',
    },
  ],
  locations: [{ path: '/home/user/app/src/greeting.ts', line: 1 }],
};
const ASKED = {
  call: CALL,
  options: [
    { id: 'no', name: 'Reject', kind: 'reject_once' },
    { id: 'yes', name: 'Allow', kind: 'allow_once' },
    { id: 'always', name: 'Always allow', kind: 'allow_always' },
  ],
};

/** The agent is there. */
const STARTED: Entry[] = [
  { type: 'thread_opened', thread: THREAD, resumes: false },
  says('agent', { phase: 'starting', detail: 'installing' }),
  says('agent', { phase: 'ready' }),
  says('session', { session: 's1', resumed: false }),
  says('modes', {
    current: 'ask',
    available: [
      { id: 'ask', name: 'Ask first', description: 'Before it changes anything' },
      { id: 'code', name: 'Code' },
    ],
  }),
  says('models', {
    current: 'tiny',
    available: [
      { id: 'tiny', name: 'tiny' },
      { id: 'large', name: 'large' },
    ],
  }),
  says('commands', {
    available: [{ name: 'init', description: 'Describes the project', hint: '[path]' }],
  }),
];

/** A turn with all that there is. */
const DONE: Entry[] = [
  ...begun('trn_1', 'Make the greeting friendlier, then run the tests.'),
  says('thought', { content: text('The greeting is in `src/greeting.ts`. I look at it first.') }),
  says('message', { content: text('I look at the code, then change the **greeting**.') }),
  says('plan', {
    entries: [
      { content: 'Read the code', priority: 'high', status: 'completed' },
      { content: 'Change the greeting', priority: 'high', status: 'in_progress' },
      { content: `Run the tests ${LONG}`, priority: 'low', status: 'pending' },
    ],
  }),
  says('tool_call', {
    id: 'call_1',
    title: `grep -rn greet /home/user/app ${LONG}`,
    kind: 'search',
    status: 'completed',
    content: [{ type: 'content', content: text('src/greeting.ts:1: export function greet') }],
  }),
  says('tool_call', { ...CALL, status: 'completed' }),
  says('tool_call', {
    id: 'call_3',
    title: 'npm test',
    kind: 'execute',
    status: 'in_progress',
    content: [{ type: 'terminal', terminal: 't1' }],
  }),
  says('terminal', {
    terminal: 't1',
    output: '\u001b[32m✓\u001b[0m greets\r\n✗ greets everybody\r\n',
  }),
  says('terminal_ended', { terminal: 't1', code: 1 }),
  says('tool_update', { id: 'call_3', status: 'failed' }),
  says('usage', {
    context_tokens: 23_400,
    context_size: 128_000,
    cost: { micros: 42_000, currency: 'EUR' },
  }),
  says('message', {
    content: text('One test fails:\n\n```ts\nexpect(greet("Ada")).toBe("Hello, Ada!");\n```\n'),
  }),
  ended('trn_1'),
];

const REQUEST = 900;

const LOGS: Record<string, Entry[]> = {
  /** A repository is being cloned, over one that there is. */
  '0': [queued('trn_1', 'Fix it'), { type: 'cloning', what: 'Receiving objects', percent: 45 }],
  /** Nothing was asked yet. */
  '1': [],
  '2': [...STARTED, ...DONE],
  /** A question is open, and prompts wait. */
  '3': [
    ...STARTED,
    ...DONE,
    ...begun('trn_2', 'Now the other one.'),
    {
      type: 'agent',
      thread: THREAD,
      event: { seq: REQUEST, at_ms: NOW, type: 'permission_requested', ...ASKED },
    },
    { type: 'turn_awaiting', turn: 'trn_2', request: REQUEST, ends_at_ms: NOW + 1_800_000 },
    queued('trn_3', 'Write a summary of what you did.'),
    queued('trn_4', `And then ${LONG}`, 1),
  ],
  /** The agent is silent, and what was before failed. */
  '4': [
    ...STARTED,
    ...begun('trn_1', 'Count to a million.'),
    { type: 'turn_ended', turn: 'trn_1', outcome: 'failed', reason: `the model refused: ${LONG}` },
    says('agent', { phase: 'stopped', detail: 'it exited with status 1' }),
    { type: 'thread_over', thread: THREAD, reason: 'the host does not have it any more' },
    ...begun('trn_2', 'Try again.'),
    { type: 'turn_waiting', turn: 'trn_2', waiting: 'agent', ends_at_ms: NOW + 581_000 },
  ],
  /** The queue is held, the sandbox out of reach. */
  '5': [
    ...STARTED,
    ...begun('trn_1', 'Go on.'),
    { type: 'turn_ended', turn: 'trn_1', outcome: 'cancelled' },
    queued('trn_2', 'Then this.'),
    { type: 'queue_held', because: 'interrupted' },
  ],
  /** The sandbox is being made. */
  '6': [queued('trn_1', 'Write hello.txt')],
  /** The sandbox is stopped. */
  '7': [...STARTED, ...DONE],
  /** The sandbox is gone. */
  '8': [...STARTED, ...DONE],
  /** Long. */
  '9': [
    ...STARTED,
    ...Array.from({ length: 400 }, (_, turn): Entry[] => [
      ...begun(`trn_${turn}`, `Question ${turn}`),
      says('message', { content: text(`Answer ${turn}`) }),
      ended(`trn_${turn}`),
    ]).flat(),
  ],
};

/** Which of the sandboxes each works in. */
const SANDBOX: Record<string, number> = { '0': 1, '4': 8, '5': 5, '6': 2, '7': 6, '8': 0 };

const sessionId = (index: string) => `ses_${'0'.repeat(25)}${index}`;
export const agentPath = (index: number, tab = '') =>
  `/s/${sessionId(String(index))}/${tab}`.replace(/\/$/, '');

const session = (index: string) => ({
  id: sessionId(index),
  ...(index === '5' && { shared: { right: 'drive', owner: 'Grace Hopper' } }),
  ...(index === '9' && { shared: { right: 'read', owner: LONG } }),
  title: index === '3' ? LONG : `Friendlier greetings ${index}`,
  model: 'tiny',
  created_at_ms: NOW,
  updated_at_ms: NOW,
  last_seq: LOGS[index]?.length ?? 0,
  agent: {
    agent: 'opencode',
    title: 'opencode',
    sandbox_id: sandboxPath(SANDBOX[index] ?? 8).split('/')[2],
    directory: '/home/user/app',
    owns_sandbox: true,
  },
});

const AGENTS = [
  ['helix', 'Helix', 'A small agent that is part of Helix: files, programs and the desktop.'],
  ['opencode', 'opencode', 'The open source coding agent.'],
  ['claude-code', 'Claude Code', LONG],
].map(([name, title, description], index) => ({
  name,
  title,
  description,
  model_api: index === 2 ? 'messages' : 'chat_completions',
  installs: index !== 0,
  built_in: index === 0,
  enabled: true,
}));

const PERSON = {
  user_id: `usr_${'0'.repeat(26)}`,
  name: 'Grace Hopper',
  email: 'grace@example.com',
};
const SHARES = [
  { right: 'read', is_link: false, people: [PERSON] },
  { right: 'drive', is_link: true, people: [], expires_at_ms: NOW + 3_600_000 },
  {
    right: 'read',
    is_link: true,
    people: [PERSON, { ...PERSON, name: LONG }],
    expires_at_ms: NOW - 1,
  },
].map((share, index) => ({ id: `shr_${'0'.repeat(25)}${index}`, created_at_ms: NOW, ...share }));

const PROGRAM = {
  command: ['opencode', 'acp'],
  install: ['npm install --global opencode-ai'],
  environment: [{ name: 'OPENAI_BASE_URL', value: '{HELIX_API}' }],
};

/** Answers what pages about agents ask, and goes to one of them. */
export const withAgents =
  (path: string, then: (page: Page) => Promise<void> = () => Promise.resolve()) =>
  async (page: Page) => {
    await page.route(/\/api\/v1\/(sessions\/ses_0+\d|agents)(\/|$|\?)/, (route) => {
      const { pathname } = new URL(route.request().url());
      const one = /\/sessions\/ses_0+(\d)$/.exec(pathname);
      if (one?.[1] !== undefined) return route.fulfill({ json: session(one[1]) });
      if (pathname.endsWith('/shares')) return route.fulfill({ json: SHARES });
      if (pathname.endsWith('/agents')) return route.fulfill({ json: AGENTS });
      const agent = AGENTS.find(({ name }) => pathname.endsWith(`/agents/${name ?? ''}`));
      if (agent) return route.fulfill({ json: { ...agent, ...PROGRAM } });
      return route.fulfill({ status: 204 });
    });
    await page.routeWebSocket(/\/api\/v1\/ws\/user/, (socket) => {
      socket.onMessage((message) => {
        const asked = JSON.parse(String(message)) as { type: string; session_id: string };
        if (asked.type === 'follow') sendLog(socket, asked.session_id);
      });
    });
    await withSandboxes(path)(page);
    await then(page);
  };

function sendLog(socket: WebSocketRoute, id: string): void {
  const log = LOGS[id.at(-1) ?? ''] ?? [];
  log.forEach((entry, index) => {
    // A second apart, the last one now.
    const at_ms = NOW - 1_000 * (log.length - index);
    const event = { seq: index + 1, at_ms, type: 'agent', entry };
    socket.send(JSON.stringify({ type: 'session_event', session_id: id, event }));
  });
}
