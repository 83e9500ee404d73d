import { beforeEach, describe, expect, it } from 'vitest';

import type { Up } from '../wire';
import { Fingers, Mouse } from './pointer';
import { attachPointing } from './pointing';
import { Wheel } from './wheel';

let said: Up[];
let stage: HTMLElement;
let touched: number;

/** The picture is 200 by 100, with 50 beside it on the left. */
const PLACED = { x: 50, y: 0, width: 200, height: 100 };

beforeEach(() => {
  said = [];
  touched = 0;
  stage = document.createElement('div');
  stage.setPointerCapture = () => undefined;
  const say = (message: Up) => said.push(message);
  attachPointing(stage, {
    mouse: new Mouse(say),
    fingers: new Fingers(say),
    wheel: new Wheel(),
    say,
    placed: () => PLACED,
    picture: () => ({ width: 400, height: 200 }),
    onTouched: () => {
      touched += 1;
    },
    onPointer: () => undefined,
    onMoved: () => undefined,
    onUnlocked: () => undefined,
    signal: new AbortController().signal,
  });
});

const point = (type: string, x: number, buttons = 0, more: object = {}) => {
  const event = new Event(type, { bubbles: true, cancelable: true });
  Object.assign(event, { clientX: x, clientY: 50, buttons, pointerId: 1, pointerType: 'mouse' });
  stage.dispatchEvent(Object.assign(event, more));
  return event;
};

const told = () =>
  said.map((message) => {
    if (message.kind === 'move') return `move ${message.x}`;
    if (message.kind === 'button') return `${message.button} ${message.down ? 'down' : 'up'}`;
    return message.kind === 'touch' ? `${message.phase} ${message.x}` : message.kind;
  });

describe('a mouse on a desktop', () => {
  it('is told where it is, and what it presses', () => {
    point('pointermove', 150);
    point('pointerdown', 150, 1);
    point('pointermove', 250, 1);
    point('pointerup', 250, 0);
    expect(told()).toEqual(['move 32768', '0 down', 'move 65535', '0 up']);
    expect(touched).toBe(1);
  });

  it('presses nothing beside the picture, nor when it comes in from there', () => {
    point('pointerdown', 10, 1);
    point('pointermove', 150, 1);
    point('pointerup', 150, 0);
    expect(told()).toEqual(['move 32768']);
    expect(touched).toBe(1);
  });

  it('goes on where it was dragged out of the picture', () => {
    point('pointerdown', 50, 1);
    point('pointermove', 10, 1);
    point('pointerup', 10, 0);
    expect(told()).toEqual(['move 0', '0 down', '0 up']);
  });

  it('turns the desktop’s wheel, and not the page, over the picture only', () => {
    const turn = { deltaX: 0, deltaY: 100, deltaMode: 0 };
    expect(point('wheel', 10, 0, turn).defaultPrevented).toBe(false);
    expect(point('wheel', 150, 0, turn).defaultPrevented).toBe(true);
    expect(said).toEqual([{ kind: 'wheel', dx: 0, dy: 120 }]);
  });

  it('opens no menu of the browser', () => {
    expect(point('contextmenu', 150).defaultPrevented).toBe(true);
  });
});

it('fingers are told as fingers', () => {
  const touch = { pointerType: 'touch' };
  point('pointerdown', 150, 1, touch);
  point('pointermove', 250, 1, touch);
  point('pointercancel', 250, 0, touch);
  expect(told()).toEqual(['down 32768', 'move 65535', 'cancelled 65535']);
});
