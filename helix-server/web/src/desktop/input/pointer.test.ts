import { beforeEach, describe, expect, it } from 'vitest';

import type { Up } from '../wire';
import { Fingers, Mouse, movedBy } from './pointer';

let said: Up[];
const say = (message: Up) => said.push(message);

beforeEach(() => {
  said = [];
});

describe('a mouse', () => {
  it('says where it is before it says what is pressed, and both once', () => {
    const mouse = new Mouse(say);
    mouse.at({ x: 5, y: 6 }, 1);
    mouse.at({ x: 5, y: 6 }, 1);
    expect(said).toEqual([
      { kind: 'move', x: 5, y: 6 },
      { kind: 'button', button: 0, down: true },
    ]);
  });

  it('tells buttons that are pressed while others are held', () => {
    const mouse = new Mouse(say);
    mouse.buttons(1);
    mouse.buttons(1 + 2 + 4);
    mouse.buttons(4 + 8 + 16);
    expect(said.map((each) => each.kind === 'button' && [each.button, each.down])).toEqual([
      [0, true],
      [1, true],
      [2, true],
      [0, false],
      [2, false],
      [3, true],
      [4, true],
    ]);
    expect(mouse.pressed).toBe(true);
  });

  it('moves by whole pixels while it is locked, and loses no part of one', () => {
    const mouse = new Mouse(say);
    for (let step = 0; step < 4; step += 1) mouse.by(0.5, -0.25, 0);
    expect(said).toEqual([
      { kind: 'moveBy', dx: 1, dy: 0 },
      { kind: 'moveBy', dx: 1, dy: -1 },
    ]);
  });

  it('a leap is as far as can be said', () => {
    const mouse = new Mouse(say);
    mouse.by(1e9, -1e9, 0);
    expect(said).toEqual([{ kind: 'moveBy', dx: 32_767, dy: -32_767 }]);
  });

  it('after a break, says again where it is and what it holds', () => {
    const mouse = new Mouse(say);
    mouse.at({ x: 1, y: 1 }, 1);
    mouse.forget();
    said = [];
    mouse.at({ x: 1, y: 1 }, 1);
    expect(said).toHaveLength(2);
  });
});

describe('fingers', () => {
  const at = { x: 1, y: 2 };

  it('have the lowest number that is free', () => {
    const fingers = new Fingers(say);
    fingers.down(100, at);
    fingers.down(101, at);
    fingers.up(100, 'up');
    fingers.down(102, at);
    expect(said.map((each) => each.kind === 'touch' && `${each.phase} ${each.finger}`)).toEqual([
      'down 0',
      'down 1',
      'up 0',
      'down 0',
    ]);
  });

  it('are lifted where they were last, and those that nobody knows are not', () => {
    const fingers = new Fingers(say);
    fingers.down(1, at);
    fingers.move(1, { x: 9, y: 9 });
    fingers.move(1, { x: 9, y: 9 });
    fingers.move(2, at);
    fingers.up(2, 'up');
    fingers.cancel();
    expect(said.slice(1)).toEqual([
      { kind: 'touch', phase: 'move', finger: 0, x: 9, y: 9 },
      { kind: 'touch', phase: 'cancelled', finger: 0, x: 9, y: 9 },
    ]);
  });
});

it('a pointer that is moved stays in the picture', () => {
  const picture = { width: 100, height: 100 };
  expect(movedBy({ x: 0, y: 65_535 }, { x: 50, y: -100 }, picture)).toEqual({ x: 32_768, y: 0 });
  expect(movedBy({ x: 0, y: 0 }, { x: -5, y: 500 }, picture)).toEqual({ x: 0, y: 65_535 });
});
