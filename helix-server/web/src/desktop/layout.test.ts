import { beforeEach, describe, expect, it, vi } from 'vitest';

import { Cell } from './cell';
import type { ConnectionState } from './connection';
import type { Box } from './input/fit';
import { Layout, type Shown } from './layout';
import type { DownOf } from './wire';

let frame: HTMLElement;
let picture: HTMLElement;
let resized: () => void;
let asked: string[];
let layout: Layout;
let viewer: Shown & { hello: Cell<DownOf<'hello'> | null> };

const element = (size: Box) => {
  const made = document.createElement('div');
  Object.defineProperty(made, 'clientWidth', { get: () => size.width });
  Object.defineProperty(made, 'clientHeight', { get: () => size.height });
  return made;
};

const size = { width: 800, height: 600 };

const hello = (width: number, height: number): DownOf<'hello'> => ({
  kind: 'hello',
  viewer: 1,
  codec: 'h264',
  encoder: '',
  config: '',
  width,
  height,
  audio: false,
  clipboard: false,
  controls: true,
});

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal(
    'ResizeObserver',
    vi.fn(function (callback: () => void) {
      resized = callback;
      return { observe: () => undefined, disconnect: () => undefined };
    }),
  );
  Object.assign(size, { width: 800, height: 600 });
  asked = [];
  frame = element(size);
  picture = document.createElement('div');
  viewer = {
    connection: new Cell<ConnectionState>({ kind: 'live' }),
    controls: new Cell(true),
    hello: new Cell<DownOf<'hello'> | null>(hello(1280, 720)),
    size: new Cell<Box | null>(null),
    framed: () => undefined,
    say: (message) => {
      if (message.kind === 'resize') asked.push(`${message.width}x${message.height}`);
    },
  };
  layout = new Layout({ frame, stage: document.createElement('div'), picture }, viewer);
});

describe('the picture in its frame', () => {
  it('is not there before the first, and then in the middle', () => {
    layout.show('fit');
    expect(picture.hidden).toBe(true);
    viewer.size.set({ width: 1280, height: 720 });
    expect(picture.hidden).toBe(false);
    expect(picture.style).toMatchObject({ left: '0px', top: '75px', width: '800px' });
  });

  it('is shown as one of a moment ago while there is no connection', () => {
    viewer.connection.set({ kind: 'waiting', until: 0 });
    expect(picture.hasAttribute('data-stale')).toBe(true);
    viewer.connection.set({ kind: 'live' });
    expect(picture.hasAttribute('data-stale')).toBe(false);
  });
});

describe('a desktop that follows its frame', () => {
  const wait = () => {
    vi.advanceTimersByTime(300);
  };

  it('is asked for its size once it stays, and only then', () => {
    layout.show('follow');
    for (size.width = 700; size.width < 720; size.width += 2) {
      resized();
      vi.advanceTimersByTime(100);
    }
    expect(asked).toEqual([]);
    wait();
    expect(asked).toEqual(['720x600']);
  });

  it('is not asked again when it took another size', () => {
    layout.show('follow');
    wait();
    viewer.hello.set(hello(800, 608));
    wait();
    expect(asked).toEqual(['800x600']);
  });

  it('is not asked by those who look on, until they have the controls', () => {
    viewer.controls.set(false);
    layout.show('follow');
    wait();
    expect(asked).toEqual([]);
    viewer.controls.set(true);
    wait();
    expect(asked).toEqual(['800x600']);
  });

  it('stays as it is in the other views, and after the end', () => {
    layout.show('fit');
    wait();
    layout.show('follow');
    layout.end();
    wait();
    expect(asked).toEqual([]);
  });
});
