// What `cargo xtask bench stream` looks with: Chromium, one page for each product in turn.
//
// drive.mjs WEB_FOLDER PLAN, a file with what is to be measured as JSON. Progress goes to
// standard error; the last line of standard output is the samples, as JSON.
//
// The browser has a screen, an X server's, and `bench-eye` reads there whatever the browser has
// painted: the clock's barcode at the top (see screen.py), whose age is from the program's
// drawing to the eye, and the square that a key press turns.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const { chromium } = createRequire(`${process.argv[2]}/package.json`)('@playwright/test');
const plan = JSON.parse(readFileSync(process.argv[3], 'utf8'));
const WIDTH = 1280;
const HEIGHT = 720;

/** Runs in the page: when a key was pressed, in milliseconds since the epoch. */
function listen() {
  window.addEventListener('keydown', () => (window.pressed = performance.timeOrigin + performance.now()), { capture: true });
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const say = (text) => console.error(text);

/** A line of JSON there, a line of JSON back. */
async function ask(port, command) {
  const socket = connect(port, '127.0.0.1');
  socket.write(`${JSON.stringify(command)}\n`);
  for await (const line of createInterface({ input: socket })) {
    socket.destroy();
    return JSON.parse(line);
  }
  throw new Error('the line says nothing');
}

/** Reads the screen. */
class Eye {
  #program = spawn(plan.eye, [plan.display], { stdio: ['pipe', 'pipe', 'inherit'] });
  #lines = createInterface({ input: this.#program.stdout })[Symbol.asyncIterator]();

  async #ask(order) {
    this.#program.stdin.write(`${JSON.stringify(order)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the eye is gone');
    return JSON.parse(value);
  }

  /** Looks at a place; says whether the picture is there. */
  look = (place) => this.#ask({ do: 'look', ...place });
  /** What was seen since the last time. */
  take = () => this.#ask({ do: 'take' });
  close = () => this.#program.kill();
}

const eye = new Eye();

/** Seconds that the processes of some names have computed, with all of their threads. */
function computed(ids) {
  let nanoseconds = 0;
  for (const id of ids) {
    for (const thread of readdirSync(`/proc/${id}/task`)) {
      try {
        nanoseconds += Number(readFileSync(`/proc/${id}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
      } catch {
        // One that has just ended.
      }
    }
  }
  return nanoseconds / 1e9;
}

async function open(browser, product, port) {
  const context = await browser.newContext({ viewport: null });
  const base = `http://127.0.0.1:${port}`;
  if (product.cookie) await context.addCookies([{ ...product.cookie, url: base }]);
  await context.addInitScript(listen);
  const page = await context.newPage();
  return { page, context, url: base + product.path };
}

/** Where on the screen a page may have the picture. */
const places = (page) =>
  page.evaluate(() => {
    const left = window.screenX + (window.outerWidth - window.innerWidth) / 2;
    const top = window.screenY + window.outerHeight - window.innerHeight;
    return [...document.querySelectorAll('canvas, video')]
      .map((one) => ({ one, rect: one.getBoundingClientRect() }))
      .filter(({ rect }) => rect.width >= 640)
      .map(({ rect }) => ({ x: left + rect.x, y: top + rect.y, scale: rect.width / 1280 }));
  });

/** Waits until the picture is on the screen. */
async function seen(page) {
  for (const began = performance.now(); performance.now() - began < 60_000; await pause(50)) {
    for (const place of await places(page).catch(() => [])) {
      if (await eye.look(place)) return place;
    }
  }
  throw new Error(`the picture is not on the screen: ${JSON.stringify(await places(page))}`);
}

/** Opens, and returns when the picture is there, focused. */
async function watch(browser, product, port) {
  const opened = await open(browser, product, port);
  await opened.page.goto(opened.url, { waitUntil: 'commit' });
  await seen(opened.page);
  // The pointer away from what is looked at.
  await opened.page.mouse.click(400, 450);
  await pause(1_000);
  // It may have moved while the page settled.
  const { scale } = await seen(opened.page);
  if (scale !== 1) await unscaled(opened.page, scale);
  return opened;
}

/** A browser that scales a picture takes longer for it: where a page fills its window, that becomes smaller. */
async function unscaled(page, scale) {
  const browser = await page.context().newCDPSession(page);
  const { windowId, bounds } = await browser.send('Browser.getWindowForTarget');
  const width = Math.round(bounds.width / scale);
  await browser.send('Browser.setWindowBounds', { windowId, bounds: { width } });
  await browser.detach();
  await pause(1_000);
  const place = await seen(page);
  if (place.scale !== 1) throw new Error(`the picture is shown ${place.scale} times as large`);
}

/** Says what the program on the screen is to show: what stands still by 1, what moves by others. */
async function mode(page, key) {
  for (let tries = 0; tries < 5; tries++) {
    await eye.take();
    await page.keyboard.press(key);
    await pause(key === '1' ? 1500 : 1000);
    // The first key that is pressed may be lost on its way.
    if (key === '1' || (await eye.take()).seen.length > 0) return;
  }
  throw new Error('nothing moves, whatever is pressed');
}

/** How old each picture was when it appeared. */
const ages = (seen) => seen.map(([at, drawn]) => at - drawn);
/** How old what was on the screen was whenever it changed, and in the end. */
function oldest(before, { seen, shown, now }) {
  const drawn = [before, ...seen.map(([, drawn]) => drawn)];
  return [...seen.map(([at], number) => [at, at - drawn[number]]), [now, now - shown]];
}

async function keys(page, presses) {
  const took = [];
  for (let at = 0; at < presses; at++) {
    // Anywhere within a frame.
    await pause(120 + ((at * 37) % 90));
    await eye.take();
    await page.keyboard.press('a');
    const pressed = await page.evaluate(() => window.pressed);
    for (const began = performance.now(); performance.now() - began < 2_000; await pause(10)) {
      const { turned } = await eye.take();
      if (turned.length > 0) {
        took.push(turned[0] - pressed);
        break;
      }
    }
  }
  return took;
}

async function span(product, relay, seconds) {
  await eye.take();
  const [cpu, bytes, began] = [computed(product.pids), await ask(relay.control, { do: 'carried' }), performance.now()];
  await pause(seconds * 1_000);
  const took = (performance.now() - began) / 1_000;
  const { seen } = await eye.take();
  const after = await ask(relay.control, { do: 'carried' });
  return {
    fps: seen.length / took,
    kbytes_per_s: (after.down - bytes.down) / 1_000 / took,
    cpu_percent: ((computed(product.pids) - cpu) / took) * 100,
    ages: ages(seen),
  };
}

/** A line that becomes narrow for a while, with what moves that takes all of it. */
async function narrow(browser, product) {
  const relay = product.slow;
  await ask(relay.control, { do: 'rate', mbit: 10 });
  const { page, context } = await watch(browser, product, relay.port);
  await mode(page, '3');
  await pause(4_000);
  const before = (await eye.take()).shown;
  await ask(relay.control, { do: 'rate', mbit: 4 });
  await pause(8_000);
  const stepped = Date.now();
  await ask(relay.control, { do: 'rate', mbit: 10 });
  await pause(8_000);
  const shown = oldest(before, await eye.take());
  await page.keyboard.press('1');
  await context.close();
  // Live: from then on nothing older than this is shown for half a second.
  const LIVE = 150;
  const after = shown.filter(([at]) => at >= stepped);
  const live = after.find(([at, age]) => age <= LIVE && after.every(([other, otherAge]) => other < at || other > at + 500 || otherAge <= LIVE));
  return { oldest_ms: Math.max(...shown.map(([, age]) => age)), live_after_ms: live ? live[0] - stepped : null };
}

/** From opening the page, with what browsers keep of it, to the first picture. */
async function opening(browser, product, times) {
  const { page, context, url } = await open(browser, product, product.fast.port);
  const took = [];
  let place;
  for (let at = 0; at <= times; at++) {
    await page.goto('about:blank');
    await pause(500);
    // The first time fills the cache, and shows where the picture comes to be.
    if (place && (await eye.look(place))) throw new Error('the picture is still there');
    await page.goto(url, { waitUntil: 'commit' });
    const began = await page.evaluate(() => performance.timeOrigin);
    if (!place) {
      await seen(page);
      await pause(1_000);
      place = await seen(page);
      continue;
    }
    let first;
    for (const since = performance.now(); !first && performance.now() - since < 30_000; await pause(50)) {
      [first] = (await eye.take()).seen;
    }
    if (!first) throw new Error('no picture came');
    took.push(first[0] - began);
  }
  await context.close();
  return took;
}

function rest(product, signal) {
  for (const group of product.resting) process.kill(-group, signal);
}

/** Takes down figures of a product. */
function into(samples) {
  return (name, ...figures) => (samples[name] ??= []).push(...figures);
}

async function moving(page, product, add, name, key) {
  say(`${product.name}: ${name}`);
  await mode(page, key);
  await pause(2_000);
  const { ages, fps, kbytes_per_s, cpu_percent } = await span(product, product.fast, plan.seconds);
  add(`${name}_fps`, fps);
  add(`${name}_kbytes_per_s`, kbytes_per_s);
  add(`${name}_cpu_percent`, cpu_percent);
  add(`${name}_age_ms`, ...ages);
}

/** Text that scrolls, by itself: processor time differs more between spans than within one. */
async function scrolling(browser, product, samples) {
  const { page, context } = await watch(browser, product, product.fast.port);
  await moving(page, product, into(samples), 'scroll', '2');
  await mode(page, '1');
  await context.close();
}

async function round(browser, product, samples) {
  const add = into(samples);
  say(`${product.name}: key to pixel`);
  const { page, context } = await watch(browser, product, product.fast.port);
  await mode(page, '1');
  add('key_ms', ...(await keys(page, plan.presses)));
  await moving(page, product, add, 'scroll', '2');
  await moving(page, product, add, 'noise', '3');
  await mode(page, '1');
  await pause(3_000);
  say(`${product.name}: still`);
  const still = await span(product, product.fast, plan.still_seconds);
  add('still_bytes_per_s', still.kbytes_per_s * 1_000);
  add('still_cpu_percent', still.cpu_percent);
  await context.close();
  say(`${product.name}: a narrow line`);
  try {
    const { oldest_ms, live_after_ms } = await narrow(browser, product);
    add('narrow_oldest_ms', oldest_ms);
    if (live_after_ms === null) add('narrow_never_live', 1);
    else add('narrow_live_ms', live_after_ms);
  } catch (error) {
    // A peer that stands still has no figures there.
    if (product.name === 'ours') throw error;
    say(`${product.name}: ${error.message}`);
  }
  say(`${product.name}: opening`);
  add('opening_ms', ...(await opening(browser, product, 3)));
}

/** A page that turns its own canvas: what this way of measuring takes by itself. */
async function floor(browser) {
  const context = await browser.newContext({ viewport: null });
  const page = await context.newPage();
  await page.setContent('<canvas width=1280 height=720></canvas>');
  await page.evaluate(() => {
    const canvas = document.querySelector('canvas');
    const context = canvas.getContext('2d');
    let turned = false;
    const draw = () => {
      context.fillStyle = turned ? '#fff' : '#000';
      context.fillRect(1120, 560, 128, 128);
      // A valid barcode, of the number 1.
      context.fillStyle = '#000';
      context.fillRect(0, 0, 512, 16);
      const value = 64 + (1 ^ 0b101010);
      context.fillStyle = '#fff';
      for (let bit = 0; bit < 32; bit++) if ((value >>> (31 - bit)) & 1) context.fillRect(bit * 16, 0, 16, 16);
    };
    draw();
    addEventListener('keydown', () => {
      turned = !turned;
      draw();
    });
  });
  await page.evaluate(listen);
  await seen(page);
  const took = await keys(page, plan.presses);
  await context.close();
  return took;
}

const browser = await chromium.launch({
  executablePath: plan.chromium,
  headless: false,
  env: { ...process.env, DISPLAY: plan.display },
  // So wide that our page has room for 1280 pixels beside what else is on it.
  args: ['--window-position=0,0', '--window-size=1637,1200', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
// However this ends.
process.on('exit', () => {
  for (const product of plan.products) rest(product, 'SIGCONT');
});
for (const product of plan.products) rest(product, 'SIGSTOP');
const all = { floor: { key_ms: await floor(browser) } };
/** One product after the other, while the others rest. */
async function turns(times, products, measure) {
  for (let turn = 0; turn < times; turn++) {
    for (const product of products) {
      rest(product, 'SIGCONT');
      await pause(1_000);
      await measure(browser, product, (all[product.name] ??= {}));
      // It is to know before that nobody looks any more.
      await pause(1_000);
      rest(product, 'SIGSTOP');
    }
  }
}

// wayvnc mostly stands still when somebody comes back to it.
const compared = plan.products.filter(({ name }) => !name.includes('wayvnc'));
await turns(plan.scrolls, compared, scrolling);
await turns(plan.rounds, plan.products, round);
await browser.close();
eye.close();
console.log(JSON.stringify(all));
