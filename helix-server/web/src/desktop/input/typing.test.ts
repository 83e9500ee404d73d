import { beforeEach, describe, expect, it, vi } from 'vitest';

import { Keyboard } from './keyboard';
import { attachTyping } from './typing';

let did: string[];
let field: HTMLTextAreaElement;
let shared: boolean;
let ended: AbortController;

beforeEach(() => {
  did = [];
  shared = true;
  ended = new AbortController();
  field = document.createElement('textarea');
  document.body.replaceChildren(field);
  const keyboard = new Keyboard({
    say: (message) => {
      if (message.kind === 'key') did.push(`${message.code} ${message.down ? 'down' : 'up'}`);
      else if (message.kind === 'text') did.push(`text ${message.text}`);
      else did.push(message.kind);
    },
  });
  attachTyping(field, {
    keyboard,
    clipboard: () => shared,
    onPaste: async () => {
      await Promise.resolve();
      did.push('pasted');
    },
    onLeave: () => did.push('left'),
    onBlur: () => {
      keyboard.release();
    },
    signal: ended.signal,
  });
});

const key = (type: 'keydown' | 'keyup', code: string, more: KeyboardEventInit = {}) => {
  const event = new KeyboardEvent(type, { code, cancelable: true, bubbles: true, ...more });
  field.dispatchEvent(event);
  return event;
};

const input = (inputType: string, data: string | null = null, isComposing = false) => {
  field.dispatchEvent(
    Object.assign(new Event('input', { bubbles: true }), { inputType, data, isComposing }),
  );
};

const paste = () => {
  const clipboardData = {} as DataTransfer;
  field.dispatchEvent(
    Object.assign(new Event('paste', { bubbles: true, cancelable: true }), { clipboardData }),
  );
};

describe('what is typed into a desktop', () => {
  it('is kept from the browser and told by its place', () => {
    expect(key('keydown', 'Tab', { key: 'Tab' }).defaultPrevented).toBe(true);
    key('keyup', 'Tab', { key: 'Tab' });
    expect(did).toEqual(['15 down', '15 up']);
  });

  it('leaves with Ctrl+F6, which is not told', () => {
    const event = key('keydown', 'F6', { key: 'F6', ctrlKey: true });
    expect(event.defaultPrevented).toBe(true);
    expect(did).toEqual(['left']);
  });

  it('is let go of when something else gets the keyboard', () => {
    key('keydown', 'KeyA', { key: 'a' });
    field.dispatchEvent(new Event('blur'));
    expect(did).toEqual(['30 down', 'release']);
  });

  it('is not listened to any more after the end', () => {
    ended.abort();
    key('keydown', 'KeyA', { key: 'a' });
    expect(did).toEqual([]);
  });
});

describe('an input method', () => {
  it('composes, and what it composed is a text', () => {
    expect(key('keydown', 'KeyN', { key: 'Process' }).defaultPrevented).toBe(false);
    input('insertCompositionText', 'に', true);
    const composed = Object.assign(new Event('compositionend'), { data: '日本' });
    field.dispatchEvent(composed);
    expect(did).toEqual(['text 日本']);
  });
});

describe('a keyboard on a screen', () => {
  it('says texts and keys', () => {
    expect(key('keydown', '', { key: 'Unidentified' }).defaultPrevented).toBe(false);
    input('insertText', 'h');
    input('deleteContentBackward');
    input('insertLineBreak');
    expect(did).toEqual(['text h', '14 down', '14 up', '28 down', '28 up']);
    // There is always something to delete.
    expect(field.value).toBe(' ');
  });
});

describe('pasting', () => {
  it('tells the clipboard before the key', async () => {
    key('keydown', 'ControlLeft', { key: 'Control', ctrlKey: true });
    expect(key('keydown', 'KeyV', { key: 'v', ctrlKey: true }).defaultPrevented).toBe(false);
    paste();
    key('keyup', 'KeyV', { key: 'v', ctrlKey: true });
    key('keyup', 'ControlLeft', { key: 'Control' });
    await vi.waitFor(() => {
      expect(did).toEqual(['29 down', 'pasted', '47 down', '47 up', '29 up']);
    });
  });

  it('presses the key all the same where the browser pastes nothing', () => {
    key('keydown', 'KeyV', { key: 'v', ctrlKey: true });
    key('keyup', 'KeyV', { key: 'v', ctrlKey: true });
    expect(did).toEqual(['47 down', '47 up']);
  });

  it('is only a key where the clipboard is not shared', () => {
    shared = false;
    expect(key('keydown', 'KeyV', { key: 'v', ctrlKey: true }).defaultPrevented).toBe(true);
    paste();
    expect(did).toEqual(['47 down']);
  });
});
