/** Every page, in light and dark, wide and narrow: no barrier, no error, nothing from elsewhere. */
import AxeBuilder from '@axe-core/playwright';
import { expect, test, type Page } from '@playwright/test';

import { statePath, world } from './world/world';

const SCHEMES = ['light', 'dark'] as const;

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
  { name: 'a link that does not work', open: at('/link?token=none') },
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
  { name: 'queue', open: at('/queue') },
  { name: 'keys', open: at('/keys') },
  {
    name: 'creating a key',
    open: async (page) => {
      await page.goto('/keys');
      await page.getByRole('button', { name: 'Create a key' }).first().click();
    },
  },
  { name: 'settings', open: at('/settings') },
  { name: 'no such page', open: at('/no/such/page') },
];

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
}

function check(shown: Shown, state: () => string | undefined): void {
  for (const scheme of SCHEMES) {
    test(`${shown.name} has no barrier in ${scheme}`, async ({ browser }) => {
      const storageState = state();
      const context = await browser.newContext({
        baseURL: world().url,
        colorScheme: scheme,
        reducedMotion: 'reduce',
        ...(storageState !== undefined && { storageState }),
      });
      const page = await context.newPage();
      await shown.open(page);
      await settled(page);
      const { violations } = await new AxeBuilder({ page })
        .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'])
        .analyze();
      const found = violations.map(({ id, nodes }) => ({
        id,
        nodes: nodes.map((node) => `${node.html}\n  ${node.failureSummary ?? ''}`),
      }));
      expect(found).toEqual([]);
      await context.close();
    });
  }

  test(`${shown.name} fits a narrow phone, and loads from here alone`, async ({ browser }) => {
    const storageState = state();
    const context = await browser.newContext({
      baseURL: world().url,
      viewport: { width: 360, height: 740 },
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
    if (shown.name === 'a chat') {
      await page.goto('/');
      await page.getByRole('button', { name: 'Open the menu' }).click();
      await page.getByRole('region', { name: 'Chats' }).locator('a[href^="/s/"]').first().click();
    } else {
      await shown.open(page);
    }
    await settled(page);
    const wider = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(wider, 'pixels that do not fit').toBe(0);
    expect(elsewhere).toEqual([]);
    expect(complaints).toEqual([]);
    await context.close();
  });
}

test.describe('before signing in', () => {
  for (const shown of STRANGERS) check(shown, () => undefined);
});

test.describe('signed in', () => {
  for (const shown of MEMBERS) check(shown, statePath);
});
