/** A session with an agent, from the page that starts it on, in a real sandbox. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  expect,
  test,
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  type Page,
} from '@playwright/test';

import { joinAsHost, startServer, stopAll } from './world/daemons';
import { pidsPath, world } from './world/world';

test.describe.configure({ mode: 'serial' });

/** For what a busy machine takes its time to do. */
const DONE = { timeout: 60_000 };
const AGENT = readFileSync(join(import.meta.dirname, 'world/scripted-agent.py'), 'utf8');
const PATH = '/home/user/agent.py';

const ADMIN = { email: 'ada@example.com', name: 'Ada', password: 'correct horse battery' };
/** As the web app's own page asks. */
const OWN = { 'sec-fetch-site': 'same-origin' };

let folder = '';
let url = '';
let context: BrowserContext;
let page: Page;
let sandbox = '';
let session = '';

const newContext = (browser: Browser, more: BrowserContextOptions = {}) =>
  browser.newContext({
    baseURL: url,
    colorScheme: 'light',
    reducedMotion: 'reduce',
    viewport: { width: 1440, height: 900 },
    ...more,
  });

const api = async (method: string, path: string, data?: object | string) => {
  const options = { method, headers: OWN, ...(data !== undefined && { data }) };
  const answer = await page.request.fetch(`/api/v1/${path}`, options);
  expect(answer.ok(), `${method} ${path}: ${await answer.text()}`).toBe(true);
  return answer;
};
const read = async <T>(path: string) => (await (await api('GET', path)).json()) as T;

/** A control plane and a host of its own. */
test.beforeAll(async ({ browser }) => {
  const { sandboxHost, noSandboxes } = world();
  test.skip(sandboxHost === '', `skipped: ${noSandboxes}`);
  test.setTimeout(180_000);
  folder = join(world().folder, 'agents');
  mkdirSync(folder);
  writeFileSync(pidsPath(folder), '');
  const server = await startServer(folder, { HELIX_SERVER_REGISTRATION_OPEN: 'true' });
  url = server.url;
  context = await newContext(browser);
  page = await context.newPage();
  const token = new URL(server.link).searchParams.get('token');
  await api('POST', 'auth/register', { ...ADMIN, setup_token: token });
  const made = await api('POST', 'join-tokens', { name: 'agents', role: 'sandbox_host' });
  const { secret } = (await made.json()) as { secret: string };
  joinAsHost({ folder, sandboxHost }, `helix-sandbox --server ${url} --join-token ${secret}`);
  await expect(async () => {
    const { hosts } = await read<{ hosts: { available: boolean }[] }>('sandbox-choices');
    expect(hosts.some(({ available }) => available)).toBe(true);
  }).toPass(DONE);
});

test.afterAll(async () => {
  if (folder === '') return;
  await context.close();
  await stopAll(folder);
});

/** Browsers break off what they load when the machine's network changes, as it does for sandboxes. */
async function visit(path: string): Promise<void> {
  await expect(async () => {
    await page.goto(path);
    await expect(page.getByRole('heading', { level: 1 })).toBeVisible({ timeout: 8_000 });
  }).toPass(DONE);
}

const conversation = () => page.getByRole('region', { name: 'Conversation' });
const composer = () => page.getByRole('textbox', { name: 'Prompt for Scripted' });
const question = () => page.getByRole('region', { name: 'The agent asks for permission' });
const tab = (name: string) => page.getByRole('tab', { name: new RegExp(`^${name}`) }).click();

async function send(text: string): Promise<void> {
  await composer().fill(text);
  await composer().press('Enter');
}

test('an administrator adds an agent to the catalogue', async () => {
  await visit('/agents');
  await page.getByRole('button', { name: 'Add an agent' }).first().click();
  const dialog = page.getByRole('dialog', { name: 'Add an agent' });
  await dialog.getByLabel('Name').fill('scripted');
  await dialog.getByRole('button', { name: 'Add' }).click();
  await expect(dialog.getByText('Enter a program')).toBeVisible();
  await dialog.getByLabel('Title').fill('Scripted');
  await dialog.getByLabel('Program').fill(`python3\n${PATH}`);
  await dialog.getByRole('combobox', { name: 'API of models that it calls' }).click();
  await page.getByRole('option', { name: /^None/ }).click();
  await dialog.getByRole('button', { name: 'Add' }).click();
  await expect(page.getByRole('article', { name: 'Agent Scripted' })).toBeVisible();
});

test('a session is started in a sandbox that runs, and asked at once', async () => {
  const made = await api('POST', 'sandboxes', { name: 'studio' });
  sandbox = ((await made.json()) as { id: string }).id;
  await expect(async () => {
    const { state } = await read<{ state: string }>(`sandboxes/${sandbox}`);
    expect(state).toBe('running');
  }).toPass(DONE);
  await api('PUT', `sandboxes/${sandbox}/files/content?path=${PATH}`, AGENT);
  await visit(`/sandboxes/${sandbox}`);
  await page.getByRole('link', { name: 'Start an agent' }).click();
  await page.getByRole('radio', { name: /^Scripted/ }).click();
  await expect(page.getByRole('combobox', { name: 'Sandbox' })).toHaveValue('studio');
  await page.getByLabel('What should it do?').fill('Good morning');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await expect(page).toHaveURL(/\/s\/ses_/);
  session = page.url();
  await expect(conversation().getByRole('group', { name: 'You' })).toHaveText('Good morning', DONE);
});

test('the agent asks, is allowed, and its file is seen', async () => {
  await expect(question()).toContainText('Write hello.txt', DONE);
  await expect(question()).toContainText('Good morning');
  await page.screenshot({ path: test.info().outputPath('asked.png') });
  await page.keyboard.press('Alt+1');
  await expect(question()).toBeHidden(DONE);
  await expect(conversation().getByText('Written: Good morning')).toBeVisible(DONE);
  await expect(conversation().getByText('Allowed once: Write hello.txt')).toBeVisible();
  await tab('Changes');
  await expect(page.getByRole('group', { name: 'Changes of /home/user/hello.txt' })).toHaveCount(2);
  await tab('Files');
  await page.getByRole('button', { name: 'hello.txt', exact: true }).click();
  await expect(page.getByRole('dialog', { name: 'hello.txt' })).toContainText('Good morning');
  await page.keyboard.press('Escape');
});

test('what is sent while it is at work waits, and can be changed, moved and removed', async () => {
  await send('first');
  await expect(question()).toBeVisible(DONE);
  // Each is written while the one before is on its way.
  const prompts = '**/api/v1/sessions/*/prompts';
  await page.route(prompts, async (route) => {
    await new Promise((later) => setTimeout(later, 500));
    await route.continue();
  });
  await send('second');
  await send('third');
  await send('fourth');
  const queue = page.getByRole('region', { name: 'Prompts that wait' });
  await expect(queue.getByRole('listitem')).toHaveText([/second/, /third/, /fourth/]);
  await page.unroute(prompts);
  // One that is not taken comes back.
  await page.route(prompts, (route) => route.abort(), { times: 1 });
  await send('fifth');
  await expect(composer()).toHaveValue('fifth');
  await composer().fill('');
  await queue.getByRole('button', { name: 'Move prompt 3 up' }).click();
  await expect(queue.getByRole('listitem')).toHaveText([/second/, /fourth/, /third/]);
  await queue.getByRole('button', { name: 'Remove prompt 1' }).click();
  await expect(queue.getByRole('listitem')).toHaveText([/fourth/, /third/]);
  await queue.getByRole('button', { name: 'Change prompt 1' }).click();
  const dialog = page.getByRole('dialog', { name: 'Change the prompt' });
  await dialog.getByLabel('Prompt').fill('reworded');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(queue.getByRole('listitem')).toHaveText([/reworded/, /third/]);
  // Stopped, the rest waits for somebody.
  await page.getByRole('button', { name: 'Stop the agent’s turn' }).click();
  await expect(queue).toContainText('the agent was interrupted', DONE);
  await expect(question()).toBeHidden();
  await queue.getByRole('button', { name: 'Go on' }).click();
  await expect(question()).toContainText('reworded', DONE);
});

test('steering stops what it does, and the page comes back as it was', async () => {
  await composer().fill('now this');
  await composer().press('Control+Enter');
  await expect(question()).toContainText('now this', DONE);
  await visit('/');
  await visit(session);
  await expect(question()).toContainText('now this', DONE);
  await question()
    .getByRole('button', { name: /^Reject/ })
    .click();
  await expect(conversation().getByText('Then I do not.').last()).toBeVisible(DONE);
  // The prompt that waited is next.
  await expect(question()).toContainText('third', DONE);
  await question()
    .getByRole('button', { name: /^Allow/ })
    .click();
  await expect(conversation().getByText('Written: third')).toBeVisible(DONE);
});

test('everything is in the timeline, and in another browser', async ({ browser }) => {
  const other = await newContext(browser, { storageState: await context.storageState() });
  const seen = await other.newPage();
  await seen.goto(`${session}/timeline`);
  const search = seen.getByLabel('Search the timeline');
  await search.fill('written third');
  await expect(seen.getByRole('listitem').filter({ hasText: 'Written: third' })).toBeVisible();
  await expect(seen.getByText(/^1 entry with/)).toBeVisible();
  await other.close();
});

test('a second person sees it, then drives it, then does neither', async ({ browser }) => {
  const other = await newContext(browser);
  const theirs = await other.newPage();
  const bob = { email: 'bob@example.com', name: 'Bob', password: 'correct horse battery' };
  const registered = await other.request.post('/api/v1/auth/register', { headers: OWN, data: bob });
  expect(registered.ok(), await registered.text()).toBe(true);

  // To see: the log as it goes, without a field to write in.
  await visit(session);
  await page.getByRole('button', { name: 'Share', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: 'Share this session' });
  await dialog.getByLabel('Email address').fill(bob.email);
  await dialog.getByRole('button', { name: 'Share', exact: true }).click();
  await expect(dialog.getByText('Shared with Bob')).toBeVisible();
  await page.screenshot({ path: test.info().outputPath('shared.png') });
  await page.keyboard.press('Escape');
  await theirs.goto('/');
  const shared = theirs.getByRole('group', { name: 'Shared with you' });
  await shared.getByRole('link').click();
  const seen = theirs.getByRole('region', { name: 'Conversation' });
  await expect(seen.getByText('Written: third')).toBeVisible(DONE);
  await expect(theirs.getByText('You can look · Ada')).toBeVisible();
  await send('for both');
  const asked = theirs.getByRole('region', { name: 'The agent asks for permission' });
  await expect(asked).toContainText('for both', DONE);
  await expect(asked.getByRole('button', { name: /^Allow/ })).toBeDisabled();
  await expect(theirs.getByRole('textbox', { name: 'Prompt for Scripted' })).toHaveCount(0);
  await expect(theirs.getByRole('tab', { name: 'Terminal' })).toHaveCount(0);
  await theirs.getByRole('tab', { name: /^Files/ }).click();
  await expect(theirs.getByRole('button', { name: 'hello.txt', exact: true })).toBeVisible(DONE);
  await expect(theirs.getByRole('button', { name: 'Upload' })).toHaveCount(0);
  await theirs.screenshot({ path: test.info().outputPath('seen.png') });

  // To drive: the open page becomes one that answers.
  await page.getByRole('button', { name: 'Share', exact: true }).click();
  await dialog.getByRole('combobox', { name: 'What Bob may do' }).click();
  await page.getByRole('option', { name: 'Drive it' }).click();
  await expect(theirs.getByText('You can drive · Ada')).toBeVisible(DONE);
  await asked.getByRole('button', { name: /^Allow/ }).click();
  await expect(conversation().getByText('Written: for both')).toBeVisible(DONE);
  const field = theirs.getByRole('textbox', { name: 'Prompt for Scripted' });
  await field.fill('of Bob');
  await field.press('Enter');
  await expect(asked).toContainText('of Bob', DONE);
  await asked.getByRole('button', { name: /^Reject/ }).click();
  await theirs.getByRole('tab', { name: 'Terminal' }).click();
  await theirs.getByRole('button', { name: 'Open a terminal' }).first().click();
  await expect(theirs.locator('.xterm')).toBeVisible(DONE);

  // Nothing: what is open goes.
  await dialog.getByRole('button', { name: 'End the share with Bob' }).click();
  await expect(dialog.getByText('Nobody: the session is yours alone.')).toBeVisible();
  await expect(theirs.getByRole('heading', { name: 'There is no such session' })).toBeVisible(DONE);
  await expect(shared).toHaveCount(0);
  await page.keyboard.press('Escape');

  // A link, for whoever is signed in.
  await page.getByRole('button', { name: 'Share', exact: true }).click();
  await dialog.getByRole('radio', { name: /^A link/ }).click();
  await dialog.getByRole('button', { name: 'Make a link' }).click();
  const link = (await dialog.getByRole('group', { name: 'The link' }).innerText()).trim();
  await page.keyboard.press('Escape');
  await theirs.goto(link);
  await expect(theirs).toHaveURL(/\/s\/ses_/);
  await expect(seen.getByText('Written: for both')).toBeVisible(DONE);
  await theirs.getByRole('button', { name: 'More actions' }).click();
  await theirs.getByRole('menuitem', { name: 'Leave' }).click();
  await expect(shared).toHaveCount(0);
  await other.close();
});
