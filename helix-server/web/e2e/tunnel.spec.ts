/** A runner's connection, seen in the browser while it breaks and is replaced. */
import { expect, test, type Browser, type Page } from '@playwright/test';

import { startRunner } from './world/daemons';
import { lineTo, type Line } from './world/line';
import { statePath, world } from './world/world';

let page: Page;
let line: Line;

async function signedIn(browser: Browser): Promise<Page> {
  const context = await browser.newContext({
    baseURL: world().url,
    storageState: statePath(),
    colorScheme: 'light',
    reducedMotion: 'reduce',
  });
  return context.newPage();
}

test.beforeAll(async ({ browser }) => {
  test.skip(!world().fresh, 'skipped: the given control plane has its own runner');
  line = await lineTo(world().url);
  page = await signedIn(browser);
  const answer = await page.request.post('/api/v1/runners', {
    data: { name: 'far away' },
    headers: { origin: world().url },
  });
  expect(answer.status()).toBe(201);
  const { credential } = (await answer.json()) as { credential: string };
  startRunner(world(), 'far-away', ['--server', line.url], { HELIX_RUNNER_CREDENTIAL: credential });
});

test.afterAll(async () => {
  line.end();
  await page.context().close();
});

test('a runner whose connection breaks is shown as reconnecting, and then how often it resumed', async () => {
  await page.goto('/runners');
  const card = page.getByRole('article', { name: 'Runner far away' });
  await expect(card.getByText('Online')).toBeVisible();
  await expect(card.getByText(/away · .* received · .* sent/)).toBeVisible();
  await page.screenshot({ path: test.info().outputPath('runners.png'), fullPage: true });
  await card.getByRole('link', { name: 'Details' }).click();

  const connection = page.getByRole('region', { name: 'Connection' });
  const control = connection.getByRole('row', { name: /^Control/ });
  await expect(control.getByText('Connected')).toBeVisible();
  await expect(control.getByText(/ ms$/)).toBeVisible();
  await expect(control.getByText('0 times')).toBeVisible();
  await expect(connection.getByRole('row', { name: /^Bulk Not open/ })).toBeVisible();

  line.close();
  await expect(page.getByText('The connection is being restored')).toBeVisible();
  await expect(control.getByText('Resuming')).toBeVisible();
  await expect(connection.getByText(/^Last interruption/)).toBeVisible();
  await page.screenshot({ path: test.info().outputPath('reconnecting.png'), fullPage: true });

  line.open();
  await expect(control.getByText('Connected')).toBeVisible({ timeout: 60_000 });
  await expect(control.getByText('1 time', { exact: true })).toBeVisible();
  await expect(page.getByText('The connection is being restored')).toBeHidden();
  await expect(page.getByText('Online')).toBeVisible();
});

test('the connection is readable in the dark and on a phone', async () => {
  await page.emulateMedia({ colorScheme: 'dark' });
  await expect(page.locator('html')).toHaveAttribute('data-mantine-color-scheme', 'dark');
  await page.screenshot({ path: test.info().outputPath('dark.png'), fullPage: true });
  await page.setViewportSize({ width: 360, height: 740 });
  const connection = page.getByRole('region', { name: 'Connection' });
  await expect(connection.getByText('Round trip')).toHaveCount(1);
  const wider = () =>
    page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
  await expect.poll(wider, { message: 'pixels that do not fit a narrow phone' }).toBe(0);
  await page.screenshot({ path: test.info().outputPath('phone.png'), fullPage: true });
});
