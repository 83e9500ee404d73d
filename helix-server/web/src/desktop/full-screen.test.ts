import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { FullScreen } from './full-screen';

let shown: Element | null;
let did: string[];
let end: (() => void) | undefined;

const changes = (element: Element | null) => {
  shown = element;
  document.dispatchEvent(new Event('fullscreenchange'));
};

beforeEach(() => {
  shown = null;
  did = [];
  Object.defineProperty(document, 'fullscreenElement', { configurable: true, get: () => shown });
  document.documentElement.requestFullscreen = () => {
    changes(document.documentElement);
    return Promise.resolve();
  };
  document.exitFullscreen = () => {
    changes(null);
    return Promise.resolve();
  };
  const keyboard = {
    lock: () => {
      did.push('lock');
      return Promise.resolve();
    },
    unlock: () => did.push('unlock'),
  };
  vi.stubGlobal('navigator', { keyboard });
});

afterEach(() => {
  end?.();
  end = undefined;
  vi.unstubAllGlobals();
});

const full = () => {
  const made = new FullScreen();
  end = made.begin();
  return made;
};

it('on the screen, all keys are the desktop’s, and the browser’s again when it is left', async () => {
  const screen = full();
  await screen.enter();
  expect([screen.filled.get(), did]).toEqual(['captured', ['lock']]);
  screen.leave();
  expect([screen.filled.get(), shown]).toEqual(['frame', null]);
  expect(did).toContain('unlock');
});

it('they are the browser’s again when Esc was held, and when the page is left', async () => {
  const screen = full();
  await screen.enter();
  changes(null);
  expect([screen.filled.get(), did.at(-1)]).toEqual(['frame', 'unlock']);
  await screen.enter();
  did = [];
  end?.();
  expect([shown, did.includes('unlock')]).toEqual([null, true]);
});

it('a browser that keeps its keys shows the desktop on the screen all the same', async () => {
  vi.stubGlobal('navigator', {});
  const screen = full();
  await screen.enter();
  expect(screen.filled.get()).toBe('screen');
  vi.stubGlobal('navigator', { keyboard: { lock: () => Promise.reject(new Error('no')) } });
  await screen.enter();
  expect(screen.filled.get()).toBe('screen');
});

it('a browser that gives no page the screen has the desktop fill the window', async () => {
  document.documentElement.requestFullscreen = () => Promise.reject(new Error('no'));
  const screen = full();
  await screen.enter();
  expect([screen.filled.get(), did]).toEqual(['window', []]);
  screen.leave();
  expect(screen.filled.get()).toBe('frame');
});

it('who leaves before the browser was done is not brought back', async () => {
  const screen = full();
  const entering = screen.enter();
  screen.leave();
  await entering;
  expect([screen.filled.get(), shown]).toEqual(['frame', null]);
  expect(did).not.toContain('lock');
});
