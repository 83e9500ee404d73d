/** A desktop in the browser, by its pixels: a real Sway, with real programs in it. */
import {
  expect,
  test,
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  type Page,
} from '@playwright/test';

import { lineTo, type Line } from './world/line';
import { isColour, pixelOf } from './world/pixels';
import { statePath, world } from './world/world';

test.describe.configure({ mode: 'serial' });

/** For what a busy machine takes its time to do. */
const DONE = { timeout: 60_000 };
/** At least so long is the network away. */
const AWAY_MS = 3_000;

const GREEN: [number, number, number] = [0, 255, 0];
const BLUE: [number, number, number] = [0, 0, 255];
const MAGENTA: [number, number, number] = [255, 0, 255];

let context: BrowserContext;
let page: Page;
let line: Line;
let id = '';

const canvas = () => page.locator('canvas').filter({ visible: true });
const notices = () => page.getByRole('status').filter({ hasText: /connection|last picture/ });
const colour = (wanted: [number, number, number]) => () => isColour(canvas(), wanted);

const api = async (method: string, path: string, data?: object) => {
  const answer = await page.request.fetch(`${world().url}/api/v1/sandboxes${path}`, {
    method,
    headers: { origin: world().url },
    ...(data && { data }),
  });
  expect(answer.ok(), `${method} ${path}: ${answer.status()}`).toBe(true);
  return answer;
};

/** What is in a file of the desktop's user; nothing where there is none. */
const fileOf = (name: string) => async () => {
  const path = `/home/user/${name}`;
  const answer = await page.request.get(
    `${world().url}/api/v1/sandboxes/${id}/files/content?path=${path}`,
  );
  return answer.ok() ? answer.text() : null;
};

/** Runs something in the sandbox, as the desktop's user. */
const inside = (script: string) =>
  api('POST', `/${id}/exec`, { command: ['sh', '-c', script], user: 'user' });

/** A script that paints the terminal without typing. */
const painted = (rgb: string) =>
  String.raw`for each in /dev/pts/[0-9]*; do printf '\033[48;2;${rgb}m\033[2J' > $each; done`;

/** Types a line into the desktop's terminal. */
async function type(text: string): Promise<void> {
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
}

/** Has the terminal be of one colour, by which its pictures are known. */
const paint = (rgb: string) => type(String.raw`printf '\e[48;2;${rgb}m'; clear`);

async function openDesktop(): Promise<void> {
  // Chromium breaks off what it loads when the machine gets another network interface, as it
  // does for each sandbox.
  await expect(async () => {
    await page.goto(`/sandboxes/${id}/desktop`);
    await expect(page.getByRole('heading', { name: 'desk' })).toBeVisible({ timeout: 5_000 });
  }).toPass(DONE);
  await expect.poll(async () => (await pixelOf(canvas())) !== null, DONE).toBe(true);
  // A page that was left a moment ago may still have the controls.
  await expect(page.getByText('you look on')).toHaveCount(0);
}

const signedIn = (browser: Browser, more: BrowserContextOptions = {}) =>
  browser.newContext({
    baseURL: line.url,
    storageState: statePath(),
    colorScheme: 'light',
    reducedMotion: 'reduce',
    permissions: ['clipboard-read', 'clipboard-write'],
    ...more,
  });

test.beforeAll(async ({ browser }) => {
  const { sandboxHost, noSandboxes } = world();
  test.skip(sandboxHost === '', `skipped: ${noSandboxes}`);
  line = await lineTo(world().url);
  context = await signedIn(browser);
  page = await context.newPage();
  const made = await api('POST', '', { name: 'desk', desktop: { width: 640, height: 400 } });
  ({ id } = (await made.json()) as { id: string });
});

test.afterAll(async () => {
  if (world().sandboxHost === '') return;
  await api('DELETE', `/${id}`);
  await context.close();
  line.end();
});

test.afterEach(async () => {
  const info = test.info();
  if (info.status === info.expectedStatus || id === '') return;
  // What it really looks like, beside what the browser shows.
  const picture = await api('GET', `/${id}/desktop/screenshot`);
  await info.attach('the desktop itself', {
    body: await picture.body(),
    contentType: 'image/png',
  });
});

test('what is typed arrives as it was meant, and its pixels come back', async () => {
  await openDesktop();
  await canvas().click();
  // Keys that are told without a Shift, and characters that the desktop’s keyboard lacks.
  await type("echo 'Straße: JUST 100% „Ünï¢ode“ €' > Typed.txt");
  await expect.poll(fileOf('Typed.txt'), DONE).toBe('Straße: JUST 100% „Ünï¢ode“ €\n');
  await paint('0;255;0');
  await expect.poll(colour(GREEN)).toBe('it is');
  await page.screenshot({ path: test.info().outputPath('desktop.png') });
});

test('what is pasted arrives, both ways', async () => {
  await page.evaluate(() => navigator.clipboard.writeText('out of the Browser: ÄÖÜ\n'));
  await type('cat > Pasted.txt');
  // The shell lets go of the terminal.
  await expect.poll(fileOf('Pasted.txt')).toBe('');
  await page.keyboard.press('Control+Shift+V');
  await expect.poll(fileOf('Pasted.txt')).toBe('out of the Browser: ÄÖÜ\n');
  await page.keyboard.press('Control+D');
  await type("printf 'out of the Desktop: äöü' | wl-copy");
  await expect
    .poll(() => page.evaluate(() => navigator.clipboard.readText()))
    .toBe('out of the Desktop: äöü');
});

test('Firefox shows a page that is served in the sandbox', async () => {
  test.setTimeout(200_000);
  await type(`mkdir site; echo '<body bgcolor="#FF00FF">' > site/index.html`);
  await type('python3 -m http.server --directory site 8018 >/dev/null 2>&1 &');
  await type('firefox-esr --kiosk http://127.0.0.1:8018/ >firefox.log 2>&1');
  // Its first start computes for long where other tests do, too.
  await expect.poll(colour(MAGENTA), { timeout: 150_000 }).toBe('it is');
  await page.screenshot({ path: test.info().outputPath('firefox.png') });
  await inside('pkill firefox');
  // The terminal is below it.
  await expect.poll(colour(GREEN), DONE).toBe('it is');
});

test('the desktop follows the size of the window', async () => {
  const sizeOf = async () => {
    const png = await (await api('GET', `/${id}/desktop/screenshot`)).body();
    return { width: png.readUInt32BE(16), height: png.readUInt32BE(20) };
  };
  const wanted = () =>
    canvas().evaluate((shown) => {
      const frame = shown.closest('[data-view]');
      const even = (length = 0) => Math.floor(length / 2) * 2;
      return { width: even(frame?.clientWidth), height: even(frame?.clientHeight) };
    });
  expect(await sizeOf()).toEqual({ width: 640, height: 400 });
  await page.getByText('Resize', { exact: true }).click();
  for (const window of [
    { width: 1100, height: 700 },
    { width: 1280, height: 800 },
  ]) {
    await page.setViewportSize(window);
    await expect(async () => {
      expect(await sizeOf()).toEqual(await wanted());
    }).toPass(DONE);
  }
  await canvas().click();
  await paint('0;0;255');
  await expect.poll(colour(BLUE)).toBe('it is');
  await paint('0;255;0');
  await expect.poll(colour(GREEN)).toBe('it is');
});

test('without a network the last picture stays, and it is live again by itself', async () => {
  await page.getByRole('textbox', { name: /^Desktop of desk/ }).focus();
  line.close();
  const cut = Date.now();
  await expect(notices()).toContainText(/this is the last picture/i);
  // Meanwhile something happens that nobody sees.
  await inside(painted('0;0;255'));
  await expect.poll(() => Date.now() - cut, { timeout: 10_000 }).toBeGreaterThan(AWAY_MS);
  const [red, green, blue] = (await pixelOf(canvas())) ?? [0, 0, 0];
  expect(green, 'the last picture is still green, though paler').toBeGreaterThan(
    Math.max(red, blue) + 20,
  );
  await page.screenshot({ path: test.info().outputPath('away.png') });
  line.open();
  await expect.poll(colour(BLUE), DONE).toBe('it is');
  await expect(notices()).toHaveCount(0);
  // Its keys arrive, too.
  await paint('0;255;0');
  await expect.poll(colour(GREEN)).toBe('it is');
});

test('a browser without WebCodecs is shown still pictures, and told so', async ({ browser }) => {
  await context.close();
  context = await signedIn(browser, { bypassCSP: true });
  page = await context.newPage();
  await page.addInitScript(withoutVideoDecoder);
  await openDesktop();
  await expect(page.getByText('This browser cannot decode video')).toBeVisible();
  await expect.poll(colour(GREEN)).toBe('it is');
  // The connection that was cut may have the controls until the desktop has given it up.
  await expect(async () => {
    await canvas().click();
    await paint('0;0;255');
    await expect.poll(colour(BLUE), { timeout: 5_000 }).toBe('it is');
  }).toPass(DONE);
});

test('its small picture is on the wall of all desktops, and leads to it', async () => {
  await page.goto('/sandboxes');
  await page.getByText('Desktops', { exact: true }).click();
  const card = page.getByRole('listitem').filter({ hasText: 'desk' });
  const picture = card.locator('img');
  await expect.poll(() => isColour(picture, BLUE)).toBe('it is');
  await inside(painted('255;0;255'));
  await expect.poll(() => isColour(picture, MAGENTA)).toBe('it is');
  await page.screenshot({ path: test.info().outputPath('wall.png') });
  await card.getByRole('link', { name: 'desk' }).click();
  await expect.poll(colour(MAGENTA)).toBe('it is');
});

/** Runs in the page: its workers lack what some browsers lack. */
function withoutVideoDecoder(): void {
  window.Worker = class extends Worker {
    constructor(url: string | URL, options?: WorkerOptions) {
      const request = new XMLHttpRequest();
      request.open('GET', url, false);
      request.send();
      const source = new Blob([`delete self.VideoDecoder;${request.responseText}`], {
        type: 'text/javascript',
      });
      super(URL.createObjectURL(source), options);
    }
  };
}
