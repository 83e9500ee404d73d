import { beforeEach, describe, expect, it } from 'vitest';

import { encodeUp, type Up } from '../wire';
import { evdevOf } from './evdev';
import { isKey, Keyboard } from './keyboard';
import { keysymOf } from './keysyms';

let said: string[];
let latched: readonly string[];

const describeUp = (message: Up): string => {
  if (message.kind === 'key') {
    const what = message.code === 0 ? `0x${message.keysym.toString(16)}` : message.code;
    return `${what} ${message.down ? 'down' : 'up'}`;
  }
  return message.kind === 'text' ? `text ${message.text}` : message.kind;
};

const keyboard = (apple = false) =>
  new Keyboard({
    say: (message) => said.push(describeUp(message)),
    apple,
    onLatched: (codes) => {
      latched = codes;
    },
  });

const key = (code: string, meaning = '') => ({ code, key: meaning });

beforeEach(() => {
  said = [];
  latched = [];
});

describe('the number of a key', () => {
  // From linux/input-event-codes.h, the last of each run: one slip moves all after it.
  it.each([
    ['Digit0', 11],
    ['Tab', 15],
    ['Enter', 28],
    ['KeyA', 30],
    ['Backquote', 41],
    ['ShiftRight', 54],
    ['ScrollLock', 70],
    ['NumpadAdd', 78],
    ['NumpadDecimal', 83],
    ['NonConvert', 94],
    ['AltRight', 100],
    ['Delete', 111],
    ['NumpadEqual', 117],
    ['Again', 129],
    ['Help', 138],
    ['WakeUp', 143],
    ['BrowserForward', 159],
    ['MediaStop', 166],
    ['BrowserRefresh', 173],
    ['NumpadParenRight', 180],
    ['F24', 194],
    ['MediaSelect', 226],
    ['Unidentified', 0],
    ['', 0],
  ])('%s is %i', (code, number) => {
    expect(evdevOf(code)).toBe(number);
  });

  it.each([
    ['a', 0x61],
    ['é', 0xe9],
    ['€', 0x0100_20ac],
    ['😀', 0x0101_f600],
    ['Enter', 0xff0d],
    ['F12', 0xffc9],
    ['Dead', 0],
    ['', 0],
    ['\u0007', 0],
  ])('the keysym of %s', (meaning, keysym) => {
    expect(keysymOf(meaning)).toBe(keysym);
  });
});

describe('a keyboard', () => {
  it('tells keys by their places, once each', () => {
    const keys = keyboard();
    keys.down(key('KeyA', 'a'));
    keys.down({ ...key('KeyA', 'a'), repeat: true });
    keys.down(key('KeyA', 'a'));
    keys.up(key('KeyA', 'a'));
    keys.up(key('KeyA', 'a'));
    expect(said).toEqual(['30 down', '30 up']);
  });

  it('tells keys without a place by what they mean, and up even if they mean another thing then', () => {
    const keys = keyboard();
    keys.down(key('', 'ü'));
    keys.up(key('', 'ü'));
    expect(said).toEqual(['0xfc down', '0xfc up']);
  });

  it('leaves to the browser what is no key of a desktop', () => {
    const keys = keyboard();
    for (const none of [key('', 'Unidentified'), key('Fn', 'Fn'), key('', 'Dead')]) {
      expect(isKey(none)).toBe(false);
      keys.down(none);
      keys.up(none);
    }
    expect(said).toEqual([]);
  });

  it('lets go of all at once, and says it once', () => {
    const keys = keyboard();
    keys.down(key('ShiftLeft'));
    keys.down(key('KeyA'));
    keys.release();
    keys.up(key('KeyA'));
    expect(said).toEqual(['42 down', '30 down', 'release']);
  });

  it('after a break, the same key goes down again', () => {
    const keys = keyboard();
    keys.down(key('KeyA'));
    keys.forget();
    keys.down(key('KeyA'));
    expect(said).toEqual(['30 down', '30 down']);
  });

  it('AltGr on Windows is not Ctrl as well', () => {
    const keys = keyboard();
    keys.down({ ...key('ControlLeft', 'Control'), timeStamp: 1_000 });
    keys.down({ ...key('AltRight', 'AltGraph'), timeStamp: 1_001 });
    keys.up(key('ControlLeft', 'Control'));
    expect(said).toEqual(['29 down', '29 up', '100 down']);
  });

  it('Ctrl that was held before AltGr stays held', () => {
    const keys = keyboard();
    keys.down({ ...key('ControlLeft', 'Control'), timeStamp: 1_000 });
    keys.down({ ...key('AltRight', 'AltGraph'), timeStamp: 1_200 });
    expect(said).toEqual(['29 down', '100 down']);
  });

  it('on Apple’s, Cmd going up lets go of what it hid', () => {
    const keys = keyboard(true);
    keys.down(key('MetaLeft', 'Meta'));
    keys.down(key('ShiftLeft', 'Shift'));
    keys.down(key('KeyC', 'c'));
    keys.up(key('MetaLeft', 'Meta'));
    expect(said.slice(3)).toEqual(['125 up', '46 up']);
  });
});

describe('a key that means another character than on the desktop’s keyboard', () => {
  const SHIFT = key('ShiftLeft', 'Shift');
  const CONTROL = key('ControlLeft', 'Control');
  const ALT = key('AltLeft', 'Alt');

  it.each<[string, { code: string; key: string }[], string]>([
    ['a capital without a Shift', [key('KeyJ', 'J')], 'text J'],
    ['a capital with one', [SHIFT, key('KeyJ', 'J')], '36 down'],
    ['a small letter, with Caps Lock and Shift', [SHIFT, key('KeyJ', 'j')], 'text j'],
    ['a sign of Shift’s without one', [key('Digit1', '!')], 'text !'],
    ['the same character in another place', [key('KeyY', 'z')], 'text z'],
    ['one that the desktop’s keyboard lacks', [key('Semicolon', 'ö')], 'text ö'],
    ['a digit of the number pad', [key('Numpad7', '7')], 'text 7'],
    ['the same key without Num Lock', [key('Numpad7', 'Home')], '71 down'],
    ['one that AltGr chooses', [key('AltRight', 'AltGraph'), key('KeyQ', '@')], 'text @'],
    ['with Ctrl, the letter that is meant', [CONTROL, key('KeyY', 'z')], '0x7a down'],
    ['with Ctrl, a capital of Caps Lock', [CONTROL, key('KeyC', 'C')], '46 down'],
    ['with Ctrl, a letter that is none of Latin’s', [CONTROL, key('KeyC', 'с')], '46 down'],
    ['with Alt, a digit by its place', [ALT, key('Digit1', '&')], '2 down'],
    ['a name of a key is none', [key('Enter', 'Enter')], '28 down'],
  ])('%s', (_, presses, last) => {
    const keys = keyboard();
    for (const press of presses) keys.down(press);
    expect(said.at(-1)).toBe(last);
  });

  it.each([
    ['@', 'text @'],
    ['ƒ', '33 down'],
  ])('on Apple’s, Alt chooses %s', (meaning, last) => {
    const keys = keyboard(true);
    keys.down(ALT);
    keys.down(key('KeyF', meaning));
    expect(said.at(-1)).toBe(last);
  });

  it('is repeated by the browser, and does not go up', () => {
    const keys = keyboard();
    keys.down(key('KeyY', 'z'));
    keys.down({ ...key('KeyY', 'z'), repeat: true });
    keys.up(key('KeyY', 'z'));
    expect(said).toEqual(['text z', 'text z']);
  });

  it('takes what is held for the next key with it', () => {
    const keys = keyboard();
    keys.latch('ShiftLeft');
    keys.down(key('Semicolon', 'ö'));
    expect(said).toEqual(['42 down', 'text ö', '42 up']);
  });

  it.each(['CapsLock', 'NumLock', 'Dead'])('%s stays the browser’s own', (own) => {
    const press = own === 'Dead' ? key('Equal', 'Dead') : key(own, own);
    const keys = keyboard();
    expect(isKey(press)).toBe(false);
    keys.down(press);
    keys.up(press);
    expect(said).toEqual([]);
  });
});

describe('keys on the screen', () => {
  it('hold for the next key, and then not any more', () => {
    const keys = keyboard();
    keys.latch('ControlLeft');
    expect(latched).toEqual(['ControlLeft']);
    keys.press(key('ArrowUp'));
    expect(said).toEqual(['29 down', '103 down', '103 up', '29 up']);
    expect(latched).toEqual([]);
  });

  it('are let go of when they are pressed again', () => {
    const keys = keyboard();
    keys.latch('AltLeft');
    keys.latch('AltLeft');
    expect(said).toEqual(['56 down', '56 up']);
    expect(latched).toEqual([]);
  });

  it('make a key of what is typed then', () => {
    const keys = keyboard();
    keys.latch('ControlLeft');
    keys.latch('ShiftLeft');
    keys.typed('c');
    keys.typed('c');
    expect(said.slice(2)).toEqual(['0x43 down', '0x43 up', '29 up', '42 up', 'text c']);
  });

  it.each([
    ['a', '0x41'],
    ['ä', '0xc4'],
    ['ß', '0xdf'],
    ['1', '0x31'],
    ['д', '0x1000414'],
  ])('make a capital of %s with Shift', (char, keysym) => {
    const keys = keyboard();
    keys.latch('ShiftLeft');
    keys.typed(char);
    expect(said).toEqual(['42 down', `${keysym} down`, `${keysym} up`, '42 up']);
  });

  it('hold for a key of a real keyboard, too', () => {
    const keys = keyboard();
    keys.latch('ControlLeft');
    keys.down(key('KeyC', 'c'));
    expect(said).toEqual(['29 down', '46 down', '29 up']);
  });
});

it('a long text is said in parts that fit into messages', () => {
  const parts: number[] = [];
  const keys = new Keyboard({
    say: (message) => parts.push(encodeUp(message).length),
  });
  keys.typed('😀'.repeat(40_000));
  expect(parts).toEqual([64_001, 64_001, 32_001]);
});

it('a composed text is said as a text, and nothing is no text', () => {
  const keys = keyboard();
  keys.typed('日本');
  keys.typed('');
  expect(said).toEqual(['text 日本']);
});
