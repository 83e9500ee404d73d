/** From the first-run link to everyday use, against the real daemons and a real model. */
import { expect, test, type BrowserContext, type Page } from '@playwright/test';

import { joinAsRunner } from './world/daemons';
import { statePath, world } from './world/world';

const QUESTION = 'What is the capital of France?';
const ANSWER = 'The capital of France is Paris.';
/** The demo model answers this one without an end. */
const ENDLESS = 'Tick until I stop you.';
/** For the engine, which is slow on a machine with other work. */
const ANSWERED = { timeout: 60_000 };

test.describe.configure({ mode: 'serial' });

let context: BrowserContext;
let page: Page;

test.beforeAll(async ({ browser }) => {
  context = await browser.newContext({ baseURL: world().url });
  page = await context.newPage();
});

test.afterAll(async () => {
  await context.close();
});

const conversation = () => page.getByRole('region', { name: 'Conversation' });
const composer = () => page.getByRole('textbox', { name: 'Message' });

async function ask(question: string): Promise<void> {
  await composer().fill(question);
  await composer().press('Enter');
}

async function signIn(): Promise<void> {
  await page.getByLabel('Email').fill(world().email);
  await page.getByRole('textbox', { name: 'Password' }).fill(world().password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

test('the link of the first run makes an administrator', async () => {
  const { fresh, link, email, password } = world();
  await page.goto(link ?? '/sign-in');
  if (fresh) {
    await page.getByLabel('Name').fill('Ada Byron');
    await page.getByLabel('Email').fill(email);
    await page.getByRole('textbox', { name: 'Password' }).fill(password);
    await page.getByRole('button', { name: 'Create administrator' }).click();
  } else if (link === undefined) {
    await signIn();
  }
  await expect(page.getByRole('heading', { name: /What can I help with/ })).toBeVisible();
  await context.storageState({ path: statePath() });
});

test('an empty Helix says what to do first', async () => {
  test.skip(!world().fresh, 'skipped: the given control plane is not empty');
  await expect(page.getByText('No model is registered yet')).toBeVisible();
  await page.getByRole('link', { name: 'Register a model' }).click();
  await expect(page.getByText('No model yet')).toBeVisible();
});

test('a model is registered', async () => {
  test.skip(!world().fresh, 'skipped: the given control plane has its own models');
  await page.getByRole('button', { name: 'Register a model' }).first().click();
  const dialog = page.getByRole('dialog', { name: 'Register a model' });
  await dialog.getByLabel('Path').fill('tiny.gguf');
  await dialog.getByRole('button', { name: 'Register' }).click();
  await expect(dialog.getByText('Enter an absolute path on the runner')).toBeVisible();
  await dialog.getByLabel('Path').fill(world().weights);
  await dialog.getByLabel('Description').fill('A demo that knows a handful of answers');
  // So that its answer without an end does not end with its context either.
  await dialog.getByRole('button', { name: 'How it runs' }).click();
  await dialog.getByLabel('More arguments for the engine').fill('--context-shift');
  await dialog.getByRole('switch', { name: 'Default model' }).click();
  await dialog.getByRole('button', { name: 'Register' }).click();
  const card = page.getByRole('article', { name: 'Model tiny' });
  await expect(card.getByText('Not running')).toBeVisible();
  await expect(card.getByText('Default')).toBeVisible();
});

test('a question without a runner is given up, and says why', async () => {
  test.skip(!world().fresh, 'skipped: the given control plane has its own runner');
  await page.goto('/');
  await expect(page.getByText('No runner is connected')).toBeVisible();
  await ask(QUESTION);
  const failure = conversation().getByRole('alert');
  await expect(failure).toContainText('no runner is connected', { timeout: 40_000 });
  await expect(failure.getByRole('button', { name: 'Try again' })).toBeVisible();
});

test('a machine joins by the command that is shown', async () => {
  test.skip(!world().fresh, 'skipped: the given control plane has its own runner');
  await page.getByRole('link', { name: 'Runners' }).click();
  await page.getByRole('button', { name: 'Add a runner' }).first().click();
  const dialog = page.getByRole('dialog', { name: 'Add a runner' });
  await dialog.getByRole('button', { name: 'Create the command' }).click();
  const command = await dialog.getByLabel('Join command').innerText();
  joinAsRunner(world(), command);
  await dialog.getByRole('button', { name: 'Done' }).click();
  const card = page.getByRole('article', { name: 'Runner workbench' });
  await expect(card.getByText('Online')).toBeVisible({ timeout: 30_000 });
});

test('the question that failed is tried again, and answered', async () => {
  test.skip(!world().fresh, 'skipped: nothing failed');
  await page.getByRole('link', { name: QUESTION }).click();
  await conversation().getByRole('button', { name: 'Try again' }).click();
  await expect(conversation().getByText(ANSWER)).toBeVisible(ANSWERED);
});

test('a new chat gets the known answer', async () => {
  await page.getByRole('link', { name: 'New chat' }).click();
  await ask(QUESTION);
  await expect(conversation().getByText(ANSWER)).toBeVisible(ANSWERED);
  await expect(page).toHaveURL(/\/s\/ses_/);
  await expect(page).toHaveTitle(`${QUESTION} · Helix`);
});

test('a reload shows the same chat', async () => {
  await page.reload();
  await expect(conversation().getByText(QUESTION)).toBeVisible();
  await expect(conversation().getByText(ANSWER)).toBeVisible();
});

test('an answer without an end is stopped, and the chat goes on', async () => {
  await ask(ENDLESS);
  const last = page
    .getByRole('region', { name: 'Conversation' })
    .getByLabel(/^Answer by/)
    .last();
  await expect(last).toContainText(/\w{3,}.*\w{3,}/s, ANSWERED);
  await page.getByRole('button', { name: 'Stop the answer' }).click();
  await expect(last.getByText('You stopped this answer.')).toBeVisible();
  const stopped = await last.innerText();
  await page.reload();
  await expect(last.getByText('You stopped this answer.')).toBeVisible();
  expect(await last.innerText()).toBe(stopped);
});

test('Escape stops an answer as well; until then the queue page shows it', async () => {
  const second = await context.newPage();
  await second.goto('/queue');
  await expect(second.getByText('No request is being answered now.')).toBeVisible();
  await ask(ENDLESS);
  const last = conversation()
    .getByLabel(/^Answer by/)
    .last();
  await expect(last).toContainText(/\w{3,}.*\w{3,}/s, ANSWERED);
  const running = second.getByRole('table', { name: 'Requests being answered' });
  await expect(running).toContainText('tiny');
  await page.keyboard.press('Escape');
  await expect(last.getByText('You stopped this answer.')).toBeVisible();
  await expect(second.getByText('No request is being answered now.')).toBeVisible();
  await second.close();
});

test('a question is edited and asked again; what came after it gives way', async () => {
  const questions = conversation().getByLabel('You');
  await expect(questions).toHaveCount(3);
  await questions.nth(1).hover();
  await questions.nth(1).getByRole('button', { name: 'Edit and ask again' }).click();
  await page.getByLabel('Edit the question').fill('ping');
  await page.getByRole('button', { name: 'Ask again', exact: true }).click();
  await expect(conversation().getByText('pong')).toBeVisible(ANSWERED);
  await expect(questions).toHaveCount(2);
  await page.reload();
  await expect(conversation().getByText('pong')).toBeVisible(ANSWERED);
  await expect(questions).toHaveCount(2);
});

test('an answer is asked for again', async () => {
  const answers = conversation().getByLabel(/^Answer by/);
  await answers.last().getByRole('button', { name: 'Answer again' }).click();
  await expect(conversation().getByText('pong')).toBeVisible(ANSWERED);
  await expect(answers).toHaveCount(2);
  await expect(page.getByRole('button', { name: 'Send the message' })).toBeVisible();
});

test('two windows show the same answer as it comes', async () => {
  const second = await context.newPage();
  await second.goto(page.url());
  const there = second.getByRole('region', { name: 'Conversation' });
  await expect(there.getByText('pong')).toBeVisible(ANSWERED);
  await ask('What is 8 plus 9?');
  await expect(there.getByText('8 plus 9 is 17.')).toBeVisible(ANSWERED);
  await expect(conversation().getByText('8 plus 9 is 17.')).toBeVisible(ANSWERED);
  await second.close();
});

test('the runners page shows the instance, its memory and its log', async () => {
  await page.getByRole('link', { name: 'Runners' }).click();
  const card = page.getByRole('article', { name: /^Runner / }).first();
  await expect(card.getByRole('meter').first()).toBeVisible();
  await expect(card.getByText('Ready').first()).toBeVisible();
  await card.getByRole('link', { name: 'Details' }).click();
  const instance = page.getByRole('article', { name: 'Instance of tiny' }).first();
  await expect(instance.getByText('Ready')).toBeVisible();
  await instance.getByRole('button', { name: 'Log' }).click();
  const log = page.getByRole('dialog', { name: 'Log of tiny' });
  await expect(log.getByRole('region', { name: 'Log lines' })).not.toBeEmpty();
  await log.getByRole('button', { name: 'Close' }).click();
});

test('a runner is drained and takes part again', async () => {
  await page.getByRole('button', { name: 'Drain' }).click();
  await expect(page.getByText('Draining').first()).toBeVisible();
  await page.getByRole('button', { name: 'Resume' }).click();
  await expect(page.getByText('Online').first()).toBeVisible();
});

test('a key is shown once, works, and works no more once it is revoked', async ({ request }) => {
  await page.getByRole('link', { name: 'API keys' }).click();
  await page.getByRole('button', { name: 'Create a key' }).first().click();
  const name = `journey ${Date.now()}`;
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill(name);
  await dialog.getByRole('button', { name: 'Create', exact: true }).click();
  const secret = await dialog.getByLabel('The key').innerText();
  await dialog.getByRole('button', { name: 'I copied it' }).click();
  const models = () =>
    request.get(`${world().url}/v1/models`, {
      headers: { authorization: `Bearer ${secret.trim()}` },
    });
  expect((await models()).status()).toBe(200);
  await page.getByRole('button', { name: `Revoke the key ${name}` }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await expect(page.getByText(name)).toHaveCount(0);
  expect((await models()).status()).toBe(401);
});

test('a chat is found, renamed and deleted', async () => {
  await page.getByRole('link', { name: 'New chat' }).click();
  await ask('Hello!');
  await expect(conversation().getByText('Hello! How can I help you today?')).toBeVisible(ANSWERED);
  const chats = page.getByRole('region', { name: 'Chats' });
  await chats.getByRole('link', { name: 'Hello!' }).first().hover();
  await chats.getByRole('button', { name: 'Actions for Hello!' }).first().click();
  await page.getByRole('menuitem', { name: 'Rename' }).click();
  const title = `Greeting ${Date.now()}`;
  await page.getByLabel('Title').fill(title);
  await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click();
  await expect(page).toHaveTitle(`${title} · Helix`);
  await chats.getByLabel('Search chats').fill(title);
  await expect(chats.getByRole('link')).toHaveText([title]);
  await chats.getByRole('link', { name: title }).hover();
  await chats.getByRole('button', { name: `Actions for ${title}` }).click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByText(`No chat matches “${title}”.`)).toBeVisible();
  await expect(page.getByRole('heading', { name: /What can I help with/ })).toBeVisible();
});

test('an interrupted connection is said, and made again', async () => {
  let broken = true;
  await page.routeWebSocket('**/api/v1/ws/user', (socket) => {
    if (broken) void socket.close();
    else socket.connectToServer();
  });
  await page.reload();
  await expect(page.getByText('Live updates are interrupted.')).toBeVisible();
  broken = false;
  await expect(page.getByText('Live updates are interrupted.')).toBeHidden({ timeout: 60_000 });
  await ask('ping');
  await expect(conversation().getByText('pong')).toBeVisible(ANSWERED);
});

test('signing out ends the session, and the password begins another', async ({ browser }) => {
  test.skip(!world().fresh, 'skipped: the session was given');
  const other = await browser.newContext({ baseURL: world().url });
  const visitor = await other.newPage();
  await visitor.goto('/runners');
  await expect(visitor).toHaveURL(/\/sign-in\?next=%2Frunners/);
  await visitor.getByLabel('Email').fill(world().email);
  await visitor.getByRole('textbox', { name: 'Password' }).fill('not the password');
  await visitor.getByRole('button', { name: 'Sign in' }).click();
  await expect(visitor.getByRole('alert')).toBeVisible();
  await visitor.getByRole('textbox', { name: 'Password' }).fill(world().password);
  await visitor.getByRole('button', { name: 'Sign in' }).click();
  await expect(visitor.getByRole('heading', { name: 'Runners' })).toBeVisible();
  await visitor.getByRole('button', { name: /^Account of/ }).click();
  await visitor.getByRole('menuitem', { name: 'Sign out' }).click();
  await expect(visitor.getByRole('heading', { name: 'Sign in' })).toBeVisible();
  await visitor.goto('/');
  await expect(visitor.getByRole('heading', { name: 'Sign in' })).toBeVisible();
  await other.close();
});
