/** A server in a sandbox, as a site of its own: pages, cookies, WebSockets, and who may see it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  expect,
  test,
  type Browser,
  type BrowserContext,
  type Locator,
  type Page,
} from '@playwright/test';

import { joinAsHost, startServer, stopAll } from './world/daemons';
import { APP } from './world/app';
import { pidsPath, world } from './world/world';

test.describe.configure({ mode: 'serial' });

/** For what a busy machine takes its time to do. */
const DONE = { timeout: 60_000 };
const PORT = 8021;

const PASSWORD = 'correct horse battery';
const EMAIL = 'owner@example.com';

let folder = '';
let url = '';
let owner: BrowserContext;
let page: Page;
let sandbox = { id: '', ports_url: '' };

const address = (port = PORT) => sandbox.ports_url.replace('{port}', String(port));

// A control plane of its own, where ports have a domain and people may register.
test.beforeAll(async ({ browser }) => {
  const { sandboxHost, noSandboxes } = world();
  test.skip(sandboxHost === '', `skipped: ${noSandboxes}`);
  test.setTimeout(180_000);
  folder = join(world().folder, 'ports');
  mkdirSync(folder);
  writeFileSync(pidsPath(folder), '');
  const server = await startServer(folder, {
    HELIX_SERVER_SANDBOXES__PORTS_DOMAIN: 'localhost',
    HELIX_SERVER_REGISTRATION_OPEN: 'true',
  });
  url = server.url;
  owner = await newContext(browser);
  page = await owner.newPage();
  const token = new URL(server.link).searchParams.get('token');
  await register(page, EMAIL, { setup_token: token });
});

test.afterAll(async () => {
  if (folder === '') return;
  await owner.close();
  await stopAll(folder);
});

const newContext = (browser: Browser) =>
  browser.newContext({ baseURL: url, colorScheme: 'light', reducedMotion: 'reduce' });

async function register(by: Page, email: string, more = {}): Promise<void> {
  const data = { email, name: email, password: PASSWORD, ...more };
  const made = await by.request.post('/api/v1/auth/register', { ...OWN, data });
  expect(made.ok(), await made.text()).toBe(true);
}

/** As the web app's own page asks. */
const OWN = { headers: { 'sec-fetch-site': 'same-origin' } };

/**
 * Goes to a page until it is whole. Browsers break off what they load when the machine's network
 * changes, and each sandbox that anybody makes on it changes that.
 */
async function visit(tab: Page, to: string, seen: (tab: Page) => Locator): Promise<void> {
  await expect(async () => {
    await tab.goto(to);
    await expect(seen(tab)).toBeVisible({ timeout: 8_000 });
  }).toPass(DONE);
}

const heading = (tab: Page) => tab.getByRole('heading', { name: 'Served' });
const connected = (tab: Page) => tab.getByTestId('socket').filter({ hasText: 'socket says PING' });
const opens = (tab: Page) => tab.getByRole('link', { name: `Open port ${PORT} in a new tab` });

async function ask<T>(method: 'get' | 'post', path: string, data?: object): Promise<T> {
  const answer = await page.request[method](path, { ...OWN, ...(data && { data }) });
  expect(answer.ok(), `${path}: ${await answer.text()}`).toBe(true);
  return (await answer.json()) as T;
}

test('a server with several files, cookies and a WebSocket is made in a sandbox', async () => {
  const body = { name: 'ports', role: 'sandbox_host' };
  const { secret } = await ask<{ secret: string }>('post', '/api/v1/join-tokens', body);
  const host = { folder, sandboxHost: world().sandboxHost };
  joinAsHost(host, `helix-sandbox --server ${url} --join-token ${secret}`);
  await expect(async () => {
    const { hosts: choices } = await ask<{ hosts: { available: boolean }[] }>(
      'get',
      '/api/v1/sandbox-choices',
    );
    expect(choices.some(({ available }) => available)).toBe(true);
  }).toPass(DONE);
  sandbox = await ask('post', '/api/v1/sandboxes', { name: 'served' });
  const here = `/api/v1/sandboxes/${sandbox.id}`;
  await expect(async () => {
    expect(await ask('get', here)).toMatchObject({ state: 'running' });
  }).toPass(DONE);
  const put = await page.request.put(`${here}/files/content?path=/home/user/app.py`, {
    ...OWN,
    data: APP,
  });
  expect(put.ok()).toBe(true);
  const command = ['python3', '/home/user/app.py', String(PORT)];
  await ask('post', `${here}/exec`, { command, background: true });
  await expect(async () => {
    const { ports } = await ask<{ ports: { port: number }[] }>('get', `${here}/ports`);
    expect(ports.map(({ port }) => port)).toContain(PORT);
  }).toPass(DONE);
});

test('the Ports tab opens it, and it is whole: files, cookie, requests, WebSocket', async () => {
  await visit(page, `/sandboxes/${sandbox.id}/ports`, opens);
  const opened = owner.waitForEvent('page');
  await opens(page).click();
  const other = await opened;
  await expect(other).toHaveURL(address());
  await visit(other, address(), connected);
  await expect(other.getByRole('heading', { name: 'Served' })).toHaveCSS('color', 'rgb(1, 2, 3)');
  await expect(other.getByTestId('script')).toHaveText('ran');
  await expect(other.getByTestId('cookie')).toHaveText('mine=1');
  await expect(other.getByTestId('posted')).toHaveText('posted ping');
  await expect(other.getByTestId('socket')).toHaveText('socket says PING');
  // Neither the page's script nor the server saw what opens the port, nor the sign-in.
  await expect(other.getByTestId('seen')).not.toContainText('helix');
  await expect(other.getByTestId('script-cookies')).not.toContainText('helix');
  await other.reload();
  await expect(other.getByTestId('cookie')).toHaveText('mine=1');
  await other.close();
});

test('the address can be kept, and leads through the sign-in where there is none', async ({
  browser,
}) => {
  const stranger = await newContext(browser);
  const tab = await stranger.newPage();
  await visit(tab, `${address()}deep/link?a=b`, () => tab.getByLabel('Email'));
  await expect(tab).toHaveURL(new RegExp(`^${url}/sign-in`));
  await tab.getByLabel('Email').fill(EMAIL);
  await tab.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
  await tab.getByRole('button', { name: 'Sign in' }).click();
  await expect(tab).toHaveURL(`${address()}deep/link?a=b`);
  await expect(tab.getByRole('heading', { name: 'Served' })).toBeVisible();
  await stranger.close();
});

test('another user is refused, and a page elsewhere has nothing of it', async ({ browser }) => {
  const other = await newContext(browser);
  const tab = await other.newPage();
  await register(tab, 'other@example.com');
  await visit(tab, address(), () => tab.getByRole('alert'));
  await expect(tab.getByRole('alert')).toContainText(`Port ${PORT} could not be opened`);
  await expect(tab.getByRole('alert')).toContainText('There is no such sandbox');
  await tab.screenshot({ path: test.info().outputPath('refused.png') });
  await other.close();

  // The owner's browser, on a page of another port: its cookies do not go along.
  const foreign = await owner.newPage();
  const below = `/api/v1/sandboxes/${sandbox.id}/ports/${PORT}/`;
  await visit(foreign, below, heading);
  const asked = await foreign.evaluate(
    (to) =>
      fetch(to, { credentials: 'include' }).then(
        (answer) => answer.status,
        () => 'refused',
      ),
    address(),
  );
  expect(asked).toBe('refused');
  await foreign.close();
});

test('a port on which nothing listens says so, and shows the server when it is there', async () => {
  const late = PORT + 1;
  const tab = await owner.newPage();
  const waits = () => tab.getByRole('heading', { name: 'The server does not answer yet' });
  await visit(tab, address(late), waits);
  await tab.screenshot({ path: test.info().outputPath('waiting.png') });
  const command = ['python3', '/home/user/app.py', String(late)];
  await ask('post', `/api/v1/sandboxes/${sandbox.id}/exec`, { command, background: true });
  await expect(heading(tab)).toBeVisible(DONE);
  await tab.close();
});

test('it ends with the sign-in, an open WebSocket too', async ({ browser }) => {
  const again = await newContext(browser);
  const tab = await again.newPage();
  const login = { ...OWN, data: { email: EMAIL, password: PASSWORD } };
  expect((await tab.request.post('/api/v1/auth/login', login)).ok()).toBe(true);
  await visit(tab, address(), connected);
  expect((await tab.request.post('/api/v1/auth/logout', OWN)).ok()).toBe(true);
  expect(await tab.evaluate(() => fetch('/app.js').then(({ status }) => status))).toBe(401);
  await expect(tab.getByTestId('socket')).toHaveText(/^closed/, DONE);
  await visit(tab, address(), () => tab.getByLabel('Email'));
  await expect(tab).toHaveURL(new RegExp(`^${url}/sign-in`));
  await again.close();
});

test('it ends with the sandbox', async () => {
  const tab = await owner.newPage();
  await visit(tab, address(), connected);
  const gone = await page.request.delete(`/api/v1/sandboxes/${sandbox.id}`, OWN);
  expect(gone.ok()).toBe(true);
  await expect(tab.getByTestId('socket')).toHaveText(/^closed/, DONE);
  await visit(tab, address(), () => tab.getByText(/there is no such sandbox/i));
  await tab.close();
});
