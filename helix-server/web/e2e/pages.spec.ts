/** Every page, in light and dark, wide and narrow: no barrier, no error, nothing from elsewhere. */
import AxeBuilder from '@axe-core/playwright';
import { expect, test, type Page } from '@playwright/test';

import { agentPath, withAgents } from './world/agent-pages';
import { hostPath, sandboxPath, withSandboxes } from './world/sandbox-pages';
import { statePath, world } from './world/world';

interface Shown {
  name: string;
  open: (page: Page) => Promise<void>;
}

const at = (path: string) => async (page: Page) => {
  await page.goto(path);
};

const STRANGERS: Shown[] = [
  { name: 'sign-in', open: at('/sign-in') },
  { name: 'register', open: at('/register') },
  { name: 'set-up', open: at('/setup?token=none') },
  { name: 'a link that does not work', open: openRefusedLink },
];

const MEMBERS: Shown[] = [
  { name: 'new chat', open: at('/') },
  { name: 'a chat', open: openFirstChat },
  { name: 'a chat that does not exist', open: at('/s/ses_00000000000000000000000000') },
  { name: 'models', open: at('/models') },
  {
    name: 'registering a model',
    open: async (page) => {
      await page.goto('/models');
      await page.getByRole('button', { name: 'Register a model' }).first().click();
      await page.getByRole('button', { name: 'How it runs' }).click();
    },
  },
  { name: 'runners', open: at('/runners') },
  {
    name: 'adding a runner',
    open: async (page) => {
      await page.goto('/runners');
      await page.getByRole('button', { name: 'Add a runner' }).first().click();
    },
  },
  {
    name: 'a runner',
    open: async (page) => {
      await page.goto('/runners');
      await page.getByRole('link', { name: 'Details' }).first().click();
    },
  },
  { name: 'sandboxes', open: withSandboxes('/sandboxes') },
  {
    name: 'the wall of desktops',
    open: async (page) => {
      await withSandboxes('/sandboxes')(page);
      await page.getByText('Desktops', { exact: true }).click();
      await expect(page.getByText('No picture now')).toBeVisible();
      await expect(page.getByRole('listitem').locator('img')).toHaveCount(1);
    },
  },
  {
    name: 'a desktop out of reach',
    open: async (page) => {
      await withSandboxes(sandboxPath(1, 'desktop'))(page);
      await expect(page.getByText('The desktop could not be reached')).toBeVisible();
    },
  },
  {
    name: 'a desktop that failed',
    open: async (page) => {
      await withSandboxes(sandboxPath(7, 'desktop'))(page);
      await expect(page.getByText('The desktop failed')).toBeVisible();
    },
  },
  { name: 'the desktop of a paused sandbox', open: withSandboxes(sandboxPath(4, 'desktop')) },
  {
    name: 'creating a sandbox',
    open: async (page) => {
      await withSandboxes('/sandboxes')(page);
      await page.getByRole('button', { name: 'Create a sandbox' }).first().click();
      await page.getByRole('radio', { name: /^Only what is listed/ }).click();
      await page.getByRole('radio', { name: /^An image/ }).click();
      await page.getByRole('radio', { name: /^Custom/ }).click();
      await page.getByRole('button', { name: 'Lifetime, host and variables' }).click();
      await page.getByRole('button', { name: 'Create', exact: true }).click();
      await expect(page.getByText('Enter an image')).toBeVisible();
    },
  },
  {
    name: 'a change in a repository of a sandbox, and its branches',
    open: async (page) => {
      await withSandboxes(sandboxPath(1, 'changes'))(page);
      await page.getByRole('button', { name: /^src\/W/ }).click();
      await expect(page.getByText('fn main()')).toBeVisible();
      await page.getByRole('button', { name: 'Branch main' }).click();
      await expect(page.getByRole('button', { name: 'other on the server' })).toBeVisible();
    },
  },
  {
    name: 'a sandbox without a repository',
    open: async (page) => {
      await withSandboxes(sandboxPath(8, 'changes'))(page);
      await page.getByRole('button', { name: 'Clone' }).click();
      await expect(page.getByText('Enter an address')).toBeVisible();
    },
  },
  ...[
    'terminal',
    'files',
    'changes',
    'ports',
    'network',
    'secrets',
    'stats',
    'log',
    'snapshots',
  ].map((tab) => ({
    name: `a sandbox: ${tab}`,
    open: withSandboxes(sandboxPath(1, tab)),
  })),
  {
    name: 'changing the limits of a sandbox',
    open: async (page) => {
      await withSandboxes(sandboxPath(1, 'network'))(page);
      await page.getByRole('button', { name: 'More actions' }).click();
      await page.getByRole('menuitem', { name: 'Limits and lifetime' }).click();
      await expect(page.getByRole('dialog', { name: 'Limits and lifetime' })).toBeVisible();
    },
  },
  {
    name: 'a port that cannot be opened',
    open: async (page) => {
      await page.goto(`${sandboxPath(0)}/ports/8000/open?state=none&path=/`);
      await expect(page.getByRole('alert')).toContainText('Port 8000 could not be opened');
    },
  },
  { name: 'a sandbox that is being made', open: withSandboxes(sandboxPath(2)) },
  { name: 'a sandbox that failed', open: withSandboxes(sandboxPath(3)) },
  { name: 'a paused sandbox', open: withSandboxes(sandboxPath(4, 'files')) },
  { name: 'a sandbox out of reach', open: withSandboxes(sandboxPath(5)) },
  { name: 'a sandbox that does not exist', open: at(sandboxPath(0)) },
  { name: 'a new session with an agent', open: withAgents('/new') },
  {
    name: 'all that can be chosen for a session with an agent',
    open: withAgents('/new', async (page) => {
      await page.getByRole('radio', { name: /^A sandbox that runs/ }).click();
      await page.getByRole('button', { name: 'Folder, git repository and model' }).click();
      await page.getByRole('textbox', { name: 'Git repository' }).fill('nothing');
      await page.getByRole('button', { name: 'Start', exact: true }).click();
      await expect(page.getByText('Choose a sandbox')).toBeVisible();
    }),
  },
  { name: 'an agent that was asked nothing', open: withAgents(agentPath(1)) },
  {
    name: 'an agent that is done',
    open: withAgents(agentPath(2, 'changes'), async (page) => {
      await expect(page.getByRole('tabpanel').getByText('+4')).toBeVisible();
    }),
  },
  {
    name: 'the repository of a session',
    open: withAgents(agentPath(0, 'changes'), async (page) => {
      await expect(page.getByText(/receiving objects, 45 %/).first()).toBeAttached();
      await expect(page.getByRole('button', { name: 'Branch main' })).toBeVisible();
    }),
  },
  {
    name: 'an agent that asks',
    open: withAgents(agentPath(3, 'conversation'), async (page) => {
      await expect(page.getByRole('button', { name: /^Always allow/ })).toBeVisible();
    }),
  },
  {
    name: 'an agent that is silent',
    open: withAgents(agentPath(4, 'plan'), async (page) => {
      await page.setViewportSize({ width: 1440, height: 900 });
      await expect(page.getByRole('button', { name: 'Keep waiting' })).toBeVisible();
    }),
  },
  {
    name: 'sharing a session',
    open: withAgents(agentPath(2), async (page) => {
      await page.getByRole('button', { name: 'Share', exact: true }).click();
      await page.getByRole('radio', { name: /^Drive it/ }).click();
      await expect(page.getByText('nobody took it yet')).toBeVisible();
    }),
  },
  { name: 'a link to a session that leads nowhere', open: at('/shared/hxh_nothing') },
  { name: 'the timeline of a session', open: withAgents(agentPath(5, 'timeline')) },
  { name: 'an agent whose sandbox is made', open: withAgents(agentPath(6, 'desktop')) },
  { name: 'an agent whose sandbox is stopped', open: withAgents(agentPath(7, 'files')) },
  { name: 'an agent whose sandbox is gone', open: withAgents(agentPath(8, 'plan')) },
  {
    name: 'a long session that another shares',
    open: withAgents(agentPath(9, 'conversation'), async (page) => {
      await expect(page.getByText('Answer 399')).toBeVisible();
      await page.getByRole('button', { name: /^Show earlier/ }).click();
    }),
  },
  { name: 'the catalogue of agents', open: withAgents('/agents') },
  {
    name: 'changing an agent of the catalogue',
    open: withAgents('/agents', async (page) => {
      await page.getByRole('button', { name: 'Change opencode' }).click();
      await expect(page.getByLabel('Program')).toHaveValue('opencode\nacp');
    }),
  },
  { name: 'hosts', open: withSandboxes('/hosts') },
  {
    name: 'adding a host',
    open: async (page) => {
      await page.goto('/hosts');
      await page.getByRole('button', { name: 'Add a host' }).first().click();
    },
  },
  { name: 'a host', open: withSandboxes(hostPath) },
  { name: 'queue', open: at('/queue') },
  { name: 'keys', open: at('/keys') },
  { name: 'a key with a long name', open: openLongNamedKey },
  {
    name: 'creating a key',
    open: async (page) => {
      await page.goto('/keys');
      await page.getByRole('button', { name: 'Create a key' }).first().click();
    },
  },
  { name: 'secrets', open: openSecrets },
  { name: 'no secrets', open: at('/secrets') },
  {
    name: 'adding a secret',
    open: async (page) => {
      await page.goto('/secrets');
      await page.getByRole('button', { name: 'Add a secret' }).first().click();
      await page.getByRole('button', { name: 'Add', exact: true }).click();
      await expect(page.getByText('Enter at least 8 characters')).toBeVisible();
    },
  },
  { name: 'settings', open: at('/settings') },
  { name: 'no such page', open: at('/no/such/page') },
];

/** Ids differ in width from request to request: this one is as wide as they come. */
const WIDEST_ID = `req_${'W'.repeat(26)}`;

async function openRefusedLink(page: Page): Promise<void> {
  await page.route('**/api/v1/auth/link', async (route) => {
    const response = await route.fetch();
    const { error } = (await response.json()) as { error: object };
    await route.fulfill({ response, json: { error: { ...error, request_id: WIDEST_ID } } });
  });
  await page.goto('/link?token=none');
  await expect(page.getByRole('alert')).toContainText(WIDEST_ID);
}

/** A name may be one word of a hundred letters; what can be done with the key stays in reach. */
async function openLongNamedKey(page: Page): Promise<void> {
  const name = 'W'.repeat(100);
  const key = { id: `key_${'0'.repeat(26)}`, name, hint: 'hx_000', scopes: [], created_at_ms: 0 };
  await page.route('**/api/v1/api-keys', (route) => route.fulfill({ json: { items: [key] } }));
  await page.goto('/keys');
  const revoke = page.getByRole('button', { name: `Revoke the key ${name}` });
  await expect(revoke).toBeInViewport({ ratio: 1 });
}

/** Names and servers may be long; what can be done with a secret stays in reach. */
async function openSecrets(page: Page): Promise<void> {
  const name = 'W'.repeat(64);
  const times = { created_at_ms: 0, updated_at_ms: 0 };
  const kind = { type: 'git', host: `${'W'.repeat(60)}.example.com`, username: 'x-access-token' };
  const variable = { type: 'environment', variable: 'ANTHROPIC_API_KEY' };
  const items = [
    { name, kind, hint: 'abcd', ...times },
    { name: 'provider', kind: variable, hint: '', ...times },
  ];
  await page.route('**/api/v1/secrets', (route) => route.fulfill({ json: { items } }));
  await page.goto('/secrets');
  const remove = page.getByRole('button', { name: `Delete ${name}` });
  await expect(remove).toBeInViewport({ ratio: 1 });
}

async function openFirstChat(page: Page): Promise<void> {
  await page.goto('/');
  const list = page.getByRole('region', { name: 'Chats' });
  await list.locator('a[href^="/s/"]').first().click();
  await expect(page.getByRole('region', { name: 'Conversation' })).toBeVisible();
}

/** Waits until nothing is loading and nothing moves. */
async function settled(page: Page): Promise<void> {
  await page.waitForLoadState('networkidle');
  await expect(page.getByRole('status', { name: /^Loading/ })).toHaveCount(0);
  await still(page);
}

/** Waits until colours and places have changed; what turns for ever is not waited for. */
async function still(page: Page): Promise<void> {
  await page.evaluate(() => {
    const ending = document
      .getAnimations()
      .filter((each) => each.effect?.getComputedTiming().endTime !== Infinity);
    return Promise.allSettled(ending.map((each) => each.finished));
  });
}

async function expectNoBarrier(page: Page, how: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page })
    .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'])
    .analyze();
  const found = violations.map(({ id, nodes }) => ({
    id,
    nodes: nodes.map((node) => `${node.html}\n  ${node.failureSummary ?? ''}`),
  }));
  expect.soft(found, how).toEqual([]);
}

/** Runs in the page: what makes it wider than its window, and how far it reaches. */
function tooWide(): string[] {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return [];
  const beyond = [...document.querySelectorAll('body *')].flatMap((element) => {
    const { right } = element.getBoundingClientRect();
    const name = `${element.tagName.toLowerCase()}.${[...element.classList].join('.')}`;
    return right > clientWidth ? [`${name} to ${right.toFixed(2)}`] : [];
  });
  return [`the page: ${scrollWidth} of ${clientWidth} pixels`, ...beyond];
}

function check(shown: Shown, state: () => string | undefined): void {
  test(shown.name, async ({ browser }) => {
    const storageState = state();
    const context = await browser.newContext({
      baseURL: world().url,
      colorScheme: 'light',
      reducedMotion: 'reduce',
      ...(storageState !== undefined && { storageState }),
    });
    const page = await context.newPage();
    const elsewhere: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith('http') && url.origin !== world().url) elsewhere.push(url.href);
    });
    page.on('console', (message) => {
      // What the server refuses on purpose is no fault of the page.
      const refused = message.text().startsWith('Failed to load resource');
      if (message.type() === 'error' && !refused) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));

    await shown.open(page);
    await settled(page);
    await expectNoBarrier(page, 'light');
    await page.emulateMedia({ colorScheme: 'dark' });
    await expect(page.locator('html')).toHaveAttribute('data-mantine-color-scheme', 'dark');
    await still(page);
    await expectNoBarrier(page, 'dark');
    await page.setViewportSize({ width: 360, height: 740 });
    const wider = () => page.evaluate(tooWide);
    await expect.poll(wider, { message: 'what does not fit a narrow phone' }).toEqual([]);
    expect(elsewhere, 'requests to other places').toEqual([]);
    expect(complaints, 'errors on the console').toEqual([]);
    await context.close();
  });
}

test.describe('before signing in', () => {
  for (const shown of STRANGERS) check(shown, () => undefined);
});

test.describe('signed in', () => {
  for (const shown of MEMBERS) check(shown, statePath);
});
