// What `cargo xtask bench stream` looks with: Chromium, one page for each product in turn.
//
// drive.mjs WEB_FOLDER PLAN, a file with what is to be measured as JSON. Progress goes to
// standard error; the last line of standard output is the samples, as JSON.
//
// The page reads the canvas that was painted on every animation frame: the clock's barcode at
// the top (see screen.py), whose age is from the program's drawing to the eye, and the square
// that a key press turns.
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const { chromium } = createRequire(`${process.argv[2]}/package.json`)('@playwright/test');
const plan = JSON.parse(readFileSync(process.argv[3], 'utf8'));
const WIDTH = 1280;
const HEIGHT = 720;

/** Runs in the page. */
function look() {
  const CELL = 16;
  const BITS = 32;
  const surface = new OffscreenCanvas(BITS * CELL, 1).getContext('2d', { willReadFrequently: true });
  const spot = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const state = { seen: new Map(), last: -1, ages: [], pressed: 0, turned: [], bright: null, first: 0 };
  window.bench = state;

  const decode = (source, width) => {
    const scale = width / 1280;
    surface.drawImage(source, 0, 7 * scale, BITS * CELL * scale, 1, 0, 0, BITS * CELL, 1);
    const { data } = surface.getImageData(0, 0, BITS * CELL, 1);
    let value = 0;
    for (let bit = 0; bit < BITS; bit++) {
      value = value * 2 + (data[(bit * CELL + CELL / 2) * 4 + 1] > 127 ? 1 : 0);
    }
    const now = Math.floor(value / 64);
    const check = (now ^ (now >> 6) ^ (now >> 12) ^ (now >> 18) ^ (now >> 24) ^ 0b101010) & 63;
    return now > 0 && check === value % 64 ? now : null;
  };

  const candidates = () =>
    [...document.querySelectorAll('canvas, video')].filter((element) => (element.videoWidth ?? element.width) >= 640);
  const age = (shown) => (Math.floor(performance.timeOrigin + performance.now()) - shown) & ((1 << 26) - 1);
  /** The youngest, where a page keeps an old picture below the one that is seen. */
  const shown = () => {
    let best = null;
    for (const element of candidates()) {
      const [width, height] = [element.videoWidth ?? element.width, element.videoHeight ?? element.height];
      const clock = decode(element, width);
      if (clock !== null && (best === null || age(clock) < age(best.clock))) best = { element, width, height, clock };
    }
    return best;
  };
  const at = () => {
    const best = shown();
    if (best) {
      const { element, width, height, clock } = best;
      const now = performance.timeOrigin + performance.now();
      state.first ||= now;
      if (clock !== state.last) {
        state.last = clock;
        state.seen.set(clock, age(clock));
      }
      // Of whatever is on the screen, new or not.
      state.ages.push([now, age(clock)]);
      spot.drawImage(element, (1184 * width) / 1280, (624 * height) / 720, 1, 1, 0, 0, 1, 1);
      const bright = spot.getImageData(0, 0, 1, 1).data[1] > 127;
      if (state.bright !== null && bright !== state.bright && state.pressed > 0) {
        state.turned.push(performance.now() - state.pressed);
        state.pressed = 0;
      }
      state.bright = bright;
    }
    requestAnimationFrame(at);
  };
  requestAnimationFrame(at);
  window.addEventListener('keydown', () => (state.pressed = performance.now()), { capture: true });
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
  const context = await browser.newContext({ viewport: { width: WIDTH + 320, height: HEIGHT + 280 } });
  const base = `http://127.0.0.1:${port}`;
  if (product.cookie) await context.addCookies([{ ...product.cookie, url: base }]);
  await context.addInitScript(look);
  const page = await context.newPage();
  return { page, context, url: base + product.path };
}

/** Waits for a condition in the page. */
const until = (page, what, timeout = 30_000) => page.waitForFunction(what, undefined, { timeout, polling: 50 });

/** Opens, and returns when the picture is there, focused. */
async function watch(browser, product, port) {
  const opened = await open(browser, product, port);
  await opened.page.goto(opened.url, { waitUntil: 'commit' });
  await until(opened.page, () => window.bench?.first > 0, 60_000);
  const canvas = await opened.page.evaluate(() => {
    const all = [...document.querySelectorAll('canvas, video')].filter((one) => (one.videoWidth ?? one.width) >= 640);
    const { x, y, width, height } = all[0].getBoundingClientRect();
    return { x, y, width, height };
  });
  // The pointer away from what is looked at.
  await opened.page.mouse.click(canvas.x + canvas.width * 0.4, canvas.y + canvas.height * 0.5);
  await pause(700);
  return opened;
}

async function mode(page, key) {
  await page.keyboard.press(key);
  await pause(key === '1' ? 1500 : 1000);
}

const taken = (page) => page.evaluate(() => ({ ages: window.bench.ages.splice(0), seen: [...window.bench.seen.values()], cleared: window.bench.seen.clear() }));

async function keys(page, presses) {
  await page.evaluate(() => (window.bench.turned.length = 0));
  for (let at = 0; at < presses; at++) {
    // Anywhere within a frame.
    await pause(120 + ((at * 37) % 90));
    await page.keyboard.press('a');
    await until(page, () => window.bench.pressed === 0, 5_000).catch(() => undefined);
  }
  return page.evaluate(() => window.bench.turned.splice(0));
}

async function span(product, relay, seconds, page) {
  await taken(page);
  const [cpu, bytes, began] = [computed(product.pids), await ask(relay.control, { do: 'carried' }), performance.now()];
  await pause(seconds * 1_000);
  const took = (performance.now() - began) / 1_000;
  const { seen, ages } = await taken(page);
  const after = await ask(relay.control, { do: 'carried' });
  return {
    fps: seen.length / took,
    kbytes_per_s: (after.down - bytes.down) / 1_000 / took,
    cpu_percent: ((computed(product.pids) - cpu) / took) * 100,
    ages: seen,
    // Of a picture that moves: how old what is on the screen is.
    shown: ages.map(([, age]) => age),
  };
}

/** A line that becomes narrow for a while. */
async function narrow(browser, product) {
  const relay = product.slow;
  await ask(relay.control, { do: 'rate', mbit: 10 });
  const { page, context } = await watch(browser, product, relay.port);
  await mode(page, '2');
  await pause(4_000);
  await taken(page);
  await ask(relay.control, { do: 'rate', mbit: 4 });
  await pause(8_000);
  const stepped = await page.evaluate(() => performance.timeOrigin + performance.now());
  await ask(relay.control, { do: 'rate', mbit: 10 });
  await pause(8_000);
  const { ages } = await taken(page);
  await page.keyboard.press('1');
  await context.close();
  const oldest = Math.max(...ages.map(([, age]) => age));
  // Live: from then on nothing older than this is shown for half a second.
  const LIVE = 150;
  const after = ages.filter(([at]) => at >= stepped);
  const live = after.find(([at, age]) => age <= LIVE && after.every(([other, otherAge]) => other < at || other > at + 500 || otherAge <= LIVE));
  return { oldest_ms: oldest, live_after_ms: live ? live[0] - stepped : null };
}

/** From opening the page, with what browsers keep of it, to the first picture. */
async function opening(browser, product, times) {
  const { page, context, url } = await open(browser, product, product.fast.port);
  const took = [];
  for (let at = 0; at <= times; at++) {
    await page.goto('about:blank');
    await page.goto(url, { waitUntil: 'commit' });
    await until(page, () => window.bench?.first > 0);
    // The first time fills the cache.
    if (at > 0) took.push(await page.evaluate(() => window.bench.first - performance.timeOrigin));
  }
  await context.close();
  return took;
}

async function round(browser, product, samples) {
  const add = (name, ...figures) => (samples[name] ??= []).push(...figures);
  say(`${product.name}: key to pixel`);
  const { page, context } = await watch(browser, product, product.fast.port);
  await mode(page, '1');
  add('key_ms', ...(await keys(page, plan.presses)));
  for (const [name, key] of [['scroll', '2'], ['noise', '3']]) {
    say(`${product.name}: ${name}`);
    await mode(page, key);
    await pause(2_000);
    const { ages, fps, kbytes_per_s, cpu_percent } = await span(product, product.fast, plan.seconds, page);
    add(`${name}_fps`, fps);
    add(`${name}_kbytes_per_s`, kbytes_per_s);
    add(`${name}_cpu_percent`, cpu_percent);
    add(`${name}_age_ms`, ...ages);
  }
  await mode(page, '1');
  await pause(3_000);
  say(`${product.name}: still`);
  const still = await span(product, product.fast, plan.still_seconds, page);
  add('still_bytes_per_s', still.kbytes_per_s * 1_000);
  add('still_cpu_percent', still.cpu_percent);
  await context.close();
  say(`${product.name}: a narrow line`);
  const { oldest_ms, live_after_ms } = await narrow(browser, product);
  add('narrow_oldest_ms', oldest_ms);
  if (live_after_ms === null) add('narrow_never_live', 1);
  else add('narrow_live_ms', live_after_ms);
  say(`${product.name}: opening`);
  add('opening_ms', ...(await opening(browser, product, 3)));
}

/** A page that turns its own canvas: what this way of measuring takes by itself. */
async function floor(browser) {
  const context = await browser.newContext();
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
  await page.evaluate(look);
  await pause(300);
  const took = await keys(page, plan.presses);
  await context.close();
  return took;
}

const browser = await chromium.launch({
  executablePath: plan.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const all = { floor: { key_ms: await floor(browser) } };
for (let turn = 0; turn < plan.rounds; turn++) {
  for (const product of plan.products) {
    await round(browser, product, (all[product.name] ??= {}));
  }
}
await browser.close();
console.log(JSON.stringify(all));
